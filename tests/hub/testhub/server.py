"""Start and stop a Hub in a thread of this process, fill it, look into it, and tamper with it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import uvicorn

from hub.testhub.access import TOKENS
from hub.testhub.api import ROUTES
from hub.testhub.faults import Faults
from hub.testhub.store import Blob, Repository, Store
from hub.testhub.wire import Recorded, Wire
from hub.testhub.xet import Cas

LARGE_SUFFIXES = (".safetensors", ".bin", ".pt", ".npz", ".h5", ".parquet", ".tar", ".zst")


class Hub:
    """A running Hub. Two ports answer: the API, and the store for large files, to which the API redirects.

    ``xet``: whether files go by Xet; without it the token route answers 404, as self-hosted hubs do.
    ``page_size``: the length of a page of any listing.
    ``requests``: every request since `reset`.
    """

    def __init__(self, cas_folder: Path) -> None:
        self.cas = Cas(cas_folder)
        self.lock = threading.RLock()
        self._sockets = [_listening() for _ in range(2)]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in self._sockets)
        config = uvicorn.Config(
            Wire(self, ROUTES), http="h11", ws="none", lifespan="off", log_level="critical", access_log=False,
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=0, timeout_keep_alive=600,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), daemon=True)
        self.reset()

    def start(self) -> Hub:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def reset(self, *, xet: bool = False) -> None:
        """An empty Hub, without faults, hooks or recorded requests."""
        self.store = Store()
        self.faults = Faults()
        self.requests: list[Recorded] = []
        self.xet = xet
        self.page_size = 1000
        self._before_commit: Callable[[], None] | None = None

    # -- filling -----------------------------------------------------------------------------------------------------

    def add_repo(
        self, repo_id: str, files: Mapping[str, bytes] | Path | None = None, *, private: bool = False,
        gated: str | bool = False,
    ) -> str:  # fmt: skip
        """A repository with these files (a folder is read recursively) on ``main``; its commit."""
        with self.lock:
            repository = self.store.create(repo_id, repo_id.split("/", maxsplit=1)[0], private=private)
            repository.gated = gated
        if isinstance(files, Path):
            files = {str(p.relative_to(files).as_posix()): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        return self.commit(repo_id, files or {})

    def commit(
        self, repo_id: str, files: Mapping[str, bytes | None], *, branch: str = "main", title: str = "Change files"
    ) -> str:
        """A commit on a branch, made on the server; None deletes a file. Its oid."""
        with self.lock:
            repository = self.repo(repo_id)
            parent = repository.branches[branch]
            tree = {**parent.tree, **{path: self._kept(path, data) for path, data in files.items() if data is not None}}
            tree = {path: blob for path, blob in tree.items() if files.get(path, b"") is not None}
            repository.branches[branch] = self.store.commit(parent, tree, title, "", repository.namespace)
            return repository.branches[branch].oid

    def grant(self, repo_id: str, user: str) -> None:
        """Let a user into a gated repository."""
        self.repo(repo_id).granted.add(user)

    # -- looking -----------------------------------------------------------------------------------------------------

    def repo(self, repo_id: str) -> Repository:
        return self.store.repositories[repo_id]

    def head(self, repo_id: str, revision: str = "main") -> str:
        """The oid of the commit that a branch, tag or ``refs/pr/N`` names."""
        return self.repo(repo_id).at(revision).oid

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of every file at a revision."""
        return {path: self.read(blob) for path, blob in self.repo(repo_id).at(revision).tree.items()}

    def read(self, blob: Blob) -> bytes:
        """The content of a file; what came by Xet is fetched from the content store when it is first asked for."""
        with self.lock:
            if blob.sha256 not in self.store.contents:
                assert blob.xet_hash
                self.store.contents[blob.sha256] = self.cas.read(blob.xet_hash, blob.size)
            return self.store.contents[blob.sha256]

    # -- tampering ---------------------------------------------------------------------------------------------------

    def replace_file(self, repo_id: str, revision: str, path: str, data: bytes | None) -> str:
        """Put other bytes into a file (None: remove it) in a new commit, and let the branch or tag name that commit."""
        with self.lock:
            repository = self.repo(repo_id)
            parent = repository.at(revision)
            tree = {name: blob for name, blob in parent.tree.items() if name != path}
            if data is not None:
                tree[path] = self._kept(path, data)
            commit = self.store.commit(parent, tree, f"Change {path}", "", repository.namespace)
            if revision in repository.tags:
                repository.tags[revision] = commit
            else:
                repository.move(revision, commit)
            return commit.oid

    def move_tag(self, repo_id: str, tag: str, revision: str) -> None:
        """Let a tag name another revision, as force-pushing it does."""
        self.repo(repo_id).tags[tag] = self.repo(repo_id).at(revision)

    def before_commit(self, callback: Callable[[], None]) -> None:
        """Run this once, just before the next commit that a client sends lands: a concurrent push."""
        self._before_commit = callback

    def run_before_commit(self) -> None:
        callback, self._before_commit = self._before_commit, None
        if callback:
            callback()

    # -- using -------------------------------------------------------------------------------------------------------

    def token(self, user: str | None) -> str:
        """A user's token: ``alice``, ``bob``, ``alice_read``, ``bob_read`` (the last two may not write)."""
        if user is None:
            return ""
        assert f"hf_{user}" in TOKENS, user
        return f"hf_{user}"

    def environment(self, user: str | None, folder: Path) -> dict[str, str]:
        """The environment of a process that uses this Hub as a user, its caches in a folder."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_OFFLINE"))},
            "HF_ENDPOINT": self.endpoint, "HF_HOME": str(folder), "HF_TOKEN": self.token(user), "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "0" if self.xet else "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_XET_TELEMETRY_ENABLED": "0",
        }  # fmt: skip

    def _kept(self, path: str, data: bytes) -> Blob:
        return self.store.large(data) if path.endswith(LARGE_SUFFIXES) else self.store.regular(data)


def _listening() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener
