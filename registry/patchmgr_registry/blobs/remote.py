"""A blob store in a bucket: ``<root>/ab/<hex>``, as in a folder, with copies of what was read lately on this disk.

A bucket shows an object only when all of it is there, so an object that bears a digest is whole; of two who store the
same digest the later writes the same bytes again. What is fetched is hashed on its way, and hashed again each time it
is taken from the copies, which are a :class:`FolderBlobs` of their own: one that is damaged is fetched anew. They are
bounded: what was used longest ago goes, except what was used within the last hour, which somebody may be reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from patchmgr.canonical import sha256_hex
from patchmgr.errors import IntegrityError, StorageError
from patchmgr_registry.blobs.contract import Blob, BlobStore, damaged, missing
from patchmgr_registry.blobs.folder import FolderBlobs, size_of

CACHE_BYTES = 10 * 1024**3
"""So much of this disk the copies take at most."""
_IN_USE_S = 3600.0
_KEY = re.compile(r".*/(?P<folder>[0-9a-f]{2})/(?P<sha256>(?P=folder)[0-9a-f]{62})")
_CLIENTS = frozenset({"botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec", "asyncio"})
"""Libraries whose own exceptions mean that the bucket cannot be used."""


class RemoteBlobs(BlobStore):
    """Blobs in a bucket, by a file system of fsspec."""

    def __init__(
        self, connect: Callable[[], Any], root: str, place: str, cache: Path, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        """Nothing is asked of the bucket yet.

        Args:
            connect: makes the file system; called once in each process.
            root: bucket and prefix.
            place: how users name it.
            cache: folder of the copies.
            cache_bytes: how much they may take.
        """
        self._connect, self._root, self._place = connect, root, place
        self._cache, self._cache_bytes = FolderBlobs(cache), cache_bytes
        self._connected: tuple[int, Any] | None = None

    @property
    def elsewhere(self) -> str | None:
        """See :attr:`BlobStore.elsewhere`."""
        return self._place

    def put_bytes(self, data: bytes) -> str:
        """See :meth:`BlobStore.put_bytes`."""
        sha256 = sha256_hex(data)
        if not self._holds(sha256, len(data)):
            with self._asking("write to"):
                self._files.pipe_file(self._key(sha256), data)
            self._check_arrived(sha256, len(data))
        return sha256

    def put_file(self, source: Path, *, sha256: str | None = None) -> str:
        """See :meth:`BlobStore.put_file`; what is sent is a copy of known digest, whatever becomes of the file."""
        size_bytes = size_of(source)
        if sha256 is not None and self._holds(sha256, size_bytes):
            return sha256
        found = self._cache.put_file(source, sha256=sha256)
        copy = self._used(self._cache.path(found))
        size_bytes = copy.stat().st_size
        if sha256 is not None or not self._holds(found, size_bytes):
            with self._asking("write to"):
                self._files.put_file(str(copy), self._key(found))
            self._check_arrived(found, size_bytes)
        self._shrink()
        return found

    def path(self, sha256: str) -> Path:
        """See :meth:`BlobStore.path`."""
        return self._copy(sha256) or self._fetch(sha256)

    def open_verified(self, sha256: str) -> Path:
        """See :meth:`BlobStore.open_verified`."""
        self._cache.remove(sha256)
        return self._fetch(sha256)

    def read_bytes(self, sha256: str) -> bytes:
        """See :meth:`BlobStore.read_bytes`."""
        self.path(sha256)
        return self._cache.read_bytes(sha256)

    def size(self, sha256: str) -> int | None:
        """See :meth:`BlobStore.size`."""
        with self._asking("ask"):
            try:
                entry = self._files.info(self._key(sha256))
            except FileNotFoundError:
                return None
        return int(entry["size"]) if entry["type"] == "file" else None

    def listing(self) -> Iterator[Blob]:
        """See :meth:`BlobStore.listing`."""
        with self._asking("list"):
            try:
                found = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                found = {}
        for name, entry in sorted(found.items()):
            if key := _KEY.fullmatch(f"/{name}"):
                yield Blob(key["sha256"], entry["size"], _seconds(entry.get("LastModified", entry.get("created"))))

    def remove(self, sha256: str) -> int:
        """See :meth:`BlobStore.remove`."""
        self._cache.remove(sha256)
        size_bytes = self.size(sha256)
        if size_bytes is None:
            return 0
        with self._asking("delete from"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._key(sha256))
        return size_bytes

    def local(self, sha256: str) -> Path:
        """See :meth:`BlobStore.local`."""
        return self._cache.local(sha256)

    def leftovers(self) -> Iterator[Path]:
        """See :meth:`BlobStore.leftovers`."""
        return self._cache.leftovers()

    def remove_leftovers(self, *, older_than_s: float = 24 * 3600.0) -> int:
        """See :meth:`BlobStore.remove_leftovers`."""
        return self._cache.remove_leftovers(older_than_s=older_than_s)

    @property
    def _files(self) -> Any:
        """The file system; a process that was forked off makes its own."""
        if self._connected is None or self._connected[0] != os.getpid():
            self._connected = os.getpid(), self._connect()
        return self._connected[1]

    def _key(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"

    def _holds(self, sha256: str, size_bytes: int) -> bool:
        """Whether the bucket has the blob whole; one that was damaged there gets replaced."""
        if self.size(sha256) != size_bytes:
            return False
        digest = hashlib.sha256()
        for block in self._blocks(sha256):
            digest.update(block)
        return digest.hexdigest() == sha256

    def _check_arrived(self, sha256: str, size_bytes: int) -> None:
        found = self.size(sha256)
        if found != size_bytes:
            raise StorageError(
                f"cannot write to {self._place}: of {size_bytes} bytes of sha256:{sha256} it keeps {found or 0}",
                hint="run the command again",
            )

    def _copy(self, sha256: str) -> Path | None:
        """The copy of a blob, verified and noted as used; None: there is none, or it was damaged and is gone."""
        try:
            place = self._cache.open_verified(sha256)
        except (IntegrityError, FileNotFoundError):
            self._cache.remove(sha256)
            return None
        return self._used(place)

    def _used(self, place: Path) -> Path:
        with contextlib.suppress(OSError):  # another user's
            os.utime(place)
        return place

    def _fetch(self, sha256: str) -> Path:
        if self.size(sha256) is None:
            raise missing(sha256)
        with self._cache.arriving() as arriving:
            digest = hashlib.sha256()
            for block in self._blocks(sha256):
                digest.update(block)
                arriving.write(block)
            if (found := digest.hexdigest()) != sha256:
                raise damaged(sha256, found)
            arriving.keep(sha256)
        self._shrink()
        return self._cache.path(sha256)

    def _blocks(self, sha256: str) -> Iterator[bytes]:
        with self._asking("read"):
            reader = self._files.open(self._key(sha256), "rb")
        with contextlib.closing(reader):
            while block := self._read(reader):
                yield block

    def _read(self, reader: IO[bytes]) -> bytes:
        with self._asking("read"):
            return reader.read(4 * 1024 * 1024)

    def _shrink(self) -> None:
        copies = sorted(self._cache.listing(), key=lambda blob: blob.stored)
        rest = sum(blob.size_bytes for blob in copies)
        for blob in copies:
            if rest <= self._cache_bytes or time.time() - blob.stored < _IN_USE_S:
                return
            rest -= self._cache.remove(blob.sha256)

    @contextmanager
    def _asking(self, verb: str) -> Iterator[None]:
        """Turn what the client raises into a :class:`StorageError`."""
        try:
            yield
        except Exception as error:
            library = type(error).__module__.partition(".")[0]
            if not isinstance(error, OSError) and library not in _CLIENTS:
                raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise StorageError(
                f"cannot {verb} {self._place}: {reason}",
                hint="check the bucket, the network, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL",
            ) from error


def _seconds(stored: datetime | float) -> float:
    """A moment since 1970; file systems of fsspec say it in either way."""
    return stored.timestamp() if isinstance(stored, datetime) else stored
