"""A Hub on this machine: the requests that fetching a model makes, answered from a folder.

It speaks the part of the Hub's API that ``snapshot_download`` uses: revision, tree, and resolve by HEAD and GET.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from patchmgr.canonical import sha256_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_REVISION = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/revision/(?P<revision>[^/?]+)")
_TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/?]+)")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^?]+)")


@contextlib.contextmanager
def hub(repos: dict[str, Path], *, gated: frozenset[str] = frozenset()) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as repositories; yields the endpoint and the list of requests, which grows."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"{self.command} {self.path}")
            for pattern, answer in ((_REVISION, self.revision), (_TREE, self.tree), (_FILE, self.file)):
                if match := pattern.match(self.path):
                    self.checked(answer, **match.groupdict())
                    return
            self.refuse(404, "EntryNotFound")

        do_HEAD = do_GET  # noqa: N815

        def checked(self, answer, repo: str, revision: str, **rest: str) -> None:
            if repo in gated:
                self.refuse(403, "GatedRepo")
            elif repo not in repos:
                self.refuse(404, "RepoNotFound")
            elif revision not in ("main", "v1", COMMIT):
                self.refuse(404, "RevisionNotFound")
            else:
                answer(repos[repo], repo, **rest)

        def revision(self, folder: Path, repo: str) -> None:
            siblings = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
            self.send_json({"id": repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})

        def tree(self, folder: Path, repo: str) -> None:
            self.send_json(
                [
                    {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": sha256_file(path)[:40]}
                    for path in sorted(folder.iterdir())
                ]
            )

        def file(self, folder: Path, repo: str, file: str) -> None:
            path = folder / file
            if not path.is_file():
                self.refuse(404, "EntryNotFound")
                return
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{sha256_file(path)[:40]}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def send_json(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
