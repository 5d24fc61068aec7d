"""A blob store in a folder: ``<root>/ab/<hex>`` holds the blob whose digest begins with ``ab``.

A blob is written under a temporary name in ``<root>/incoming``, synced, and renamed, so a file that bears a digest is
whole; the folder is synced too, so it survives a power cut. Blobs are read-only files: they may be hard-linked into
places where users look.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from patchmgr.canonical import sha256_file, sha256_hex
from patchmgr.durable import storing, sync_folder
from patchmgr.errors import IntegrityError, NotFoundError
from patchmgr_registry.blobs.contract import Blob, BlobStore, damaged, missing, reading

_BLOCK_BYTES = 4 * 1024 * 1024
_LEFTOVER_AFTER_S = 24 * 3600.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"[0-9a-f]{2}")


class FolderBlobs(BlobStore):
    """A folder of blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / "incoming"

    @property
    def elsewhere(self) -> str | None:
        """See :attr:`BlobStore.elsewhere`."""
        return None

    def put_bytes(self, data: bytes) -> str:
        """See :meth:`BlobStore.put_bytes`."""
        sha256 = sha256_hex(data)
        if not self._holds(sha256, len(data)):
            with self.arriving() as arriving:
                arriving.write(data)
                arriving.keep(sha256)
        return sha256

    def put_file(self, source: Path, *, sha256: str | None = None) -> str:
        """See :meth:`BlobStore.put_file`; the file is read once."""
        size_bytes = size_of(source)
        if sha256 is not None and self._holds(sha256, size_bytes):
            return sha256
        with storing(f"a copy of {source.name}"), source.open("rb") as reader, self.arriving() as arriving:
            found = _copy(reader, arriving)
            if sha256 not in (None, found):
                raise IntegrityError(f"{source} has digest {found}, not {sha256}", hint="fetch or make it again")
            if not self._holds(found, arriving.file.tell()):
                arriving.keep(found)
        return found

    def path(self, sha256: str) -> Path:
        """See :meth:`BlobStore.path`; its bytes are not read."""
        place = self.local(sha256)
        with reading(place):
            if not place.is_file():
                raise missing(sha256)
        return place

    def open_verified(self, sha256: str) -> Path:
        """See :meth:`BlobStore.open_verified`."""
        place = self.path(sha256)
        with self._reading(sha256):
            found = sha256_file(place)
        if found != sha256:
            raise damaged(sha256, found)
        return place

    def read_bytes(self, sha256: str) -> bytes:
        """See :meth:`BlobStore.read_bytes`."""
        place = self.path(sha256)
        with self._reading(sha256):
            data = place.read_bytes()
        if (found := sha256_hex(data)) != sha256:
            raise damaged(sha256, found)
        return data

    def size(self, sha256: str) -> int | None:
        """See :meth:`BlobStore.size`."""
        place = self.local(sha256)
        with reading(place):
            try:
                return place.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        for folder in filter(_FOLDER.fullmatch, _names(self.root)):
            for name in _names(self.root / folder):
                if _DIGEST.fullmatch(name) and name.startswith(folder):
                    yield name

    def listing(self) -> Iterator[Blob]:
        """See :meth:`BlobStore.listing`."""
        for sha256 in self:
            place = self.local(sha256)
            with suppress(FileNotFoundError), reading(place):  # cleared away meanwhile
                found = place.stat()
                yield Blob(sha256, found.st_size, found.st_mtime)

    def remove(self, sha256: str) -> int:
        """See :meth:`BlobStore.remove`."""
        place = self.local(sha256)
        with storing(f"the blob {place.name}"):
            try:
                size_bytes = place.stat().st_size
                place.unlink()
            except FileNotFoundError:
                return 0
        return size_bytes

    def local(self, sha256: str) -> Path:
        """See :meth:`BlobStore.local`."""
        return self.root / sha256[:2] / sha256

    def leftovers(self) -> Iterator[Path]:
        """See :meth:`BlobStore.leftovers`."""
        return (self._incoming / name for name in _names(self._incoming))

    def remove_leftovers(self, *, older_than_s: float = _LEFTOVER_AFTER_S) -> int:
        """See :meth:`BlobStore.remove_leftovers`."""
        count = 0
        for leftover in self.leftovers():
            with suppress(FileNotFoundError), storing(f"to {self._incoming}"):  # its writer has just renamed it
                if time.time() - leftover.stat().st_mtime >= older_than_s:
                    leftover.unlink()
                    count += 1
        return count

    def _holds(self, sha256: str, size_bytes: int) -> bool:
        """Whether the blob is here whole; one that was damaged, or that the disk no longer gives, gets replaced."""
        if self.size(sha256) != size_bytes:
            return False
        try:
            return sha256_file(self.local(sha256)) == sha256
        except OSError:
            return False

    @contextmanager
    def _reading(self, sha256: str) -> Iterator[None]:
        place = self.local(sha256)
        try:
            with reading(place):
                yield
        except FileNotFoundError:  # cleared away since it was looked for
            raise missing(sha256) from None

    @contextmanager
    def arriving(self) -> Iterator[Arriving]:
        """Bytes on their way in, which are gone afterwards unless they were kept."""
        with storing(f"the blob store {self.root}"):
            self._incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as file:  # unbuffered: closing cannot fail again
                    yield Arriving(self, file, temporary)
            finally:
                temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Arriving:
    """A temporary file of a store."""

    store: FolderBlobs
    file: IO[bytes]
    temporary: Path

    def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]

    def keep(self, sha256: str) -> None:
        """Make it the blob of a digest, which its bytes have."""
        self.temporary.chmod(0o444)
        os.fsync(self.file.fileno())
        place, root = self.store.local(sha256), self.store.root
        new_folder = not place.parent.exists()
        place.parent.mkdir(exist_ok=True)
        self.temporary.replace(place)
        sync_folder(place.parent)
        if new_folder:
            sync_folder(root)
            sync_folder(root.parent)


def _copy(reader: IO[bytes], arriving: Arriving) -> str:
    """Copy and hash in one pass."""
    digest = hashlib.sha256()
    while block := reader.read(_BLOCK_BYTES):
        digest.update(block)
        arriving.write(block)
    return digest.hexdigest()


def size_of(source: Path) -> int:
    """The size in bytes of a file to be stored; NotFoundError when there is none."""
    with reading(source):
        if not source.is_file():
            raise NotFoundError(f"there is no file {str(source)!r}")
        return source.stat().st_size


def _names(folder: Path) -> list[str]:
    """What lies in a folder, in order; nothing when there is none, but not when it cannot be read."""
    with reading(folder):
        try:
            return sorted(place.name for place in folder.iterdir())
        except FileNotFoundError:
            return []
