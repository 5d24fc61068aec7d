"""Files of a repository at one commit: what it lists is looked at first, and only what a manifest names is fetched.

A manifest is small and comes first. The Hub tells size and digest of every other file, so what is not as the manifest
says is refused before it is downloaded. Whoever reads the files afterwards checks every byte again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from patchmgr.canonical import sha256_file
from patchmgr.durable import storing
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.hub.client import LOCAL, asking, client, is_offline, with_xet_or_without
from patchmgr.package.fields import FileRecord
from patchmgr.package.files import COMPANIONS

MOST_MANIFEST_BYTES = 64 * 2**20
"""No manifest is larger; one of 10,000 touched tensors takes 6 MB."""
_AT_ONCE = 4
MOST_FILES = 100_000
"""No repository that is listed here has more."""


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit, with its manifest."""

    repo_id: str
    commit: str
    manifest_name: str
    manifest: bytes
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    """What the Hub lists there; empty: offline, where only the cache is known."""


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub says of a file."""

    size_bytes: int
    sha256: str | None
    """None where the Hub does not tell: of small files."""
    blob_id: str
    """By which git knows it: of a small file the SHA-1 of its bytes, of a large one that of a pointer."""

    def is_at(self, path: Path) -> bool:
        """Whether a file can be this one; of a large one only the size is asked, for a manifest has its digest."""
        if path.stat().st_size != self.size_bytes:
            return False
        if self.sha256 is not None:
            return True
        head = f"blob {self.size_bytes}\0".encode()
        return hashlib.sha1(head + path.read_bytes(), usedforsecurity=False).hexdigest() == self.blob_id


def open_snapshot(repo_id: str, revision: str, manifest_name: str) -> Snapshot:
    """A repository at a revision; its manifest is fetched, nothing else is.

    Raises:
        NotFoundError: no such repository or revision, or it has no such manifest.
        FormatError: the manifest is larger than any, or there are more files than anywhere.
        HubError: the Hub cannot be reached.
    """
    with asking(repo_id, revision, instead=LOCAL):
        resolved = client().resolve_revision(repo_id, revision=revision, local_files_only=is_offline())
        commit = str(resolved.resolved)
        files = {} if is_offline() else list_files(repo_id, commit)
        if files and manifest_name not in files:
            raise NotFoundError(
                f"{repo_id} at {revision} has no {manifest_name}, so it is nothing of patchmgr's",
                hint="see `patchmgr search --remote`",
            )
        if files:
            _check_size(repo_id, manifest_name, files[manifest_name].size_bytes)
        path = _download(repo_id, commit, manifest_name, files.get(manifest_name))
        _check_size(repo_id, manifest_name, path.stat().st_size)
        return Snapshot(repo_id, commit, manifest_name, path.read_bytes(), files)


def _check_size(repo_id: str, manifest_name: str, size_bytes: int) -> None:
    if size_bytes > MOST_MANIFEST_BYTES:
        raise FormatError(f"{manifest_name} of {repo_id} takes {size_bytes} bytes", hint="do not use it")


def check_listed(snapshot: Snapshot, wanted: Mapping[str, FileRecord]) -> None:
    """Make sure that a repository has what its manifest names, and nothing beside it but companions.

    Raises:
        FormatError: it has more.
        IntegrityError: it lacks a file, or has one of another size or digest; names the first.
    """
    if not snapshot.files:
        return
    where = f"{snapshot.repo_id} at {snapshot.commit[:12]}"
    surplus = set(snapshot.files) - set(wanted) - COMPANIONS - {snapshot.manifest_name}
    if surplus:
        raise FormatError(f"{where} holds {min(surplus)!r}, which {snapshot.manifest_name} does not list")
    for name, record in wanted.items():
        found = snapshot.files.get(name)
        if found is None:
            raise IntegrityError(f"{where} lacks {name}, which {snapshot.manifest_name} lists")
        if found.size_bytes != record.size_bytes or found.sha256 not in (None, record.sha256):
            raise IntegrityError(
                f"{where}: {name} is not what {snapshot.manifest_name} says",
                hint="it was changed after the package was made; do not use it",
            )


def fetch_files(snapshot: Snapshot, names: Collection[str], folder: Path) -> None:
    """Put the manifest and these files into a folder, as plain files; what the cache has is not downloaded.

    Args:
        snapshot: of the repository.
        names: of files in it.
        folder: where to; it exists.

    Raises:
        NotFoundError: a file is not there.
        HubError: the Hub cannot be reached.
        StorageError: the disk is full, read-only or failing.
    """
    repo_id, commit = snapshot.repo_id, snapshot.commit

    def download(name: str) -> Path:
        return with_xet_or_without(lambda: _download(repo_id, commit, name, snapshot.files.get(name)))

    with asking(repo_id, commit, instead=LOCAL), ThreadPoolExecutor(_AT_ONCE) as pool:
        cached = list(pool.map(download, names))
    with storing(f"{repo_id} in {folder}"):
        for name, path in zip(names, cached, strict=True):
            _place(path, folder / name, repo_id)
        (folder / snapshot.manifest_name).write_bytes(snapshot.manifest)


def _download(repo_id: str, commit: str, name: str, listed: RemoteFile | None) -> Path:
    """A file in the Hub's cache, fetched again where the cached one cannot be what the Hub lists."""
    path = Path(client().hf_hub_download(repo_id, name, revision=commit, local_files_only=is_offline()))
    if listed is not None and not listed.is_at(path):
        path = Path(client().hf_hub_download(repo_id, name, revision=commit, force_download=True))
    return path


def forget_damaged(snapshot: Snapshot, wanted: Mapping[str, FileRecord]) -> None:
    """Take files that are not what a manifest says out of the Hub's cache, so that the next time fetches them again."""
    from huggingface_hub import try_to_load_from_cache

    for name, record in wanted.items():
        found = try_to_load_from_cache(snapshot.repo_id, name, revision=snapshot.commit)
        if not isinstance(found, str) or sha256_file(Path(found)) == record.sha256:
            continue
        cached = Path(found)
        blobs = cached.parents[name.count("/") + 2] / "blobs"  # …/snapshots/COMMIT/NAME links to …/blobs/DIGEST
        with contextlib.suppress(OSError):
            blob = Path(os.path.normpath(cached.parent / cached.readlink())) if cached.is_symlink() else cached
            cached.unlink()
            if blob.parent == blobs:  # and not wherever else somebody let it lead
                blob.unlink()


def _place(cached: Path, place: Path, repo_id: str) -> None:
    """A file of the cache as a plain one: linked hard where the file system can, for nobody writes to either."""
    source = Path(os.path.realpath(cached))
    if not source.is_file():
        raise NotFoundError(f"{repo_id} has no {cached.name}", hint="fetch it again, online")
    if os.path.lexists(place):  # two names that are one to this file system; writing would go through to the cache
        raise FormatError(f"{repo_id} has two files at {place.name} on this file system", hint="use another one")
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        os.link(source, place)
        return
    shutil.copyfile(source, place)


def list_files(repo_id: str, commit: str) -> dict[str, RemoteFile]:
    """What the Hub says of each file of a commit; to be called where its failures are caught.

    Raises:
        FormatError: there are more than anywhere.
    """
    from huggingface_hub.hf_api import RepoFile

    entries = client().list_repo_tree(repo_id, revision=commit, recursive=True)
    files = {
        entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
        for entry in itertools.islice(entries, MOST_FILES + 1)
        if isinstance(entry, RepoFile)
    }
    if len(files) > MOST_FILES:
        raise FormatError(f"{repo_id} has more than {MOST_FILES} files", hint="do not use it")
    return files
