"""The blob store: bytes under the name of their SHA-256, written once, never changed.

``<root>/ab/<hex>`` holds the blob whose digest begins with ``ab``. A blob is written under a temporary name in
``<root>/incoming``, synced, and renamed, so a file that bears a digest is whole; the folder is synced too, so it
survives a power cut. Blobs are read-only files: they may be hard-linked into places where users look.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from patchmgr.canonical import sha256_file, sha256_hex
from patchmgr.durable import storing, sync_folder
from patchmgr.errors import IntegrityError, NotFoundError

_BLOCK_BYTES = 4 * 1024 * 1024
_LEFTOVER_AFTER_S = 24 * 3600.0
_MEND = "run patchmgr fsck, or pull the package again"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """A folder of blobs. Several processes may use it at once: equal bytes end in one file, whoever comes first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / "incoming"

    def put_bytes(self, data: bytes) -> str:
        """Store bytes; the digest.

        Raises:
            StorageError: the disk is full, read-only or failing; nothing is left behind.
        """
        sha256 = sha256_hex(data)
        if not self._holds(sha256, len(data)):
            with self._arriving() as (file, temporary):
                _write_all(file, data)
                self._keep(file, temporary, sha256)
        return sha256

    def put_file(self, source: Path, *, sha256: str | None = None) -> str:
        """Store a copy of a file; the digest.

        Args:
            source: the file, read once.
            sha256: the digest that the file must have; a blob of it that is here already is not copied again.

        Raises:
            NotFoundError: there is no such file.
            IntegrityError: the file has not the digest named.
            StorageError: the disk is full, read-only or failing; nothing is left behind.
        """
        if not source.is_file():
            raise NotFoundError(f"there is no file {str(source)!r}")
        if sha256 is not None and self._holds(sha256, source.stat().st_size):
            return sha256
        with storing(f"a copy of {source.name}"), source.open("rb") as reader, self._arriving() as (file, temporary):
            found = _copy(reader, file)
            if sha256 not in (None, found):
                raise IntegrityError(f"{source} has digest {found}, not {sha256}", hint="fetch or make it again")
            if not self._holds(found, file.tell()):
                self._keep(file, temporary, found)
        return found

    def path(self, sha256: str) -> Path:
        """Where a blob lies; it exists, but its bytes are not read.

        Raises:
            IntegrityError: the blob is missing.
        """
        place = self._place(sha256)
        if not place.is_file():
            raise IntegrityError(f"blob sha256:{sha256} is missing", hint=_MEND)
        return place

    def open_verified(self, sha256: str) -> Path:
        """Where a blob lies, after reading it through.

        Raises:
            IntegrityError: the blob is missing, or its bytes do not have its digest.
        """
        place = self.path(sha256)
        found = sha256_file(place)
        if found != sha256:
            raise IntegrityError(
                f"blob sha256:{sha256} holds bytes of sha256:{found}",
                hint=_MEND,
            )
        return place

    def read_bytes(self, sha256: str) -> bytes:
        """The bytes of a blob, verified.

        Raises:
            IntegrityError: the blob is missing, or its bytes do not have its digest.
        """
        data = self.path(sha256).read_bytes()
        if (found := sha256_hex(data)) != sha256:
            raise IntegrityError(
                f"blob sha256:{sha256} holds bytes of sha256:{found}",
                hint=_MEND,
            )
        return data

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and bool(_DIGEST.fullmatch(sha256)) and self._place(sha256).is_file()

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        for place in sorted(self.root.glob("[0-9a-f][0-9a-f]/*")):
            if _DIGEST.fullmatch(place.name):
                yield place.name

    def remove(self, sha256: str) -> int:
        """Take a blob out; its size in bytes, 0 when it was not there."""
        place = self._place(sha256)
        with storing(f"the blob {place.name}"):
            try:
                size_bytes = place.stat().st_size
                place.unlink()
            except FileNotFoundError:
                return 0
        return size_bytes

    def remove_leftovers(self, *, older_than_s: float = _LEFTOVER_AFTER_S) -> int:
        """Take out what killed processes left half written; how many files that were."""
        count = 0
        for leftover in self._incoming.glob("*"):
            with suppress(FileNotFoundError):  # its writer has just renamed it
                if time.time() - leftover.stat().st_mtime >= older_than_s:
                    leftover.unlink()
                    count += 1
        return count

    def _place(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def _holds(self, sha256: str, size_bytes: int) -> bool:
        """Whether the blob is here whole; one of another size is damaged and gets replaced."""
        try:
            return self._place(sha256).stat().st_size == size_bytes
        except (FileNotFoundError, NotADirectoryError):
            return False

    @contextmanager
    def _arriving(self) -> Iterator[tuple[IO[bytes], Path]]:
        """A temporary file that is gone afterwards, unless it was kept."""
        with storing(f"the blob store {self.root}"):
            self._incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as file:  # unbuffered: closing cannot fail again
                    yield file, temporary
            finally:
                temporary.unlink(missing_ok=True)

    def _keep(self, file: IO[bytes], temporary: Path, sha256: str) -> None:
        temporary.chmod(0o444)
        os.fsync(file.fileno())
        place = self._place(sha256)
        new_folder = not place.parent.exists()
        place.parent.mkdir(exist_ok=True)
        temporary.replace(place)
        sync_folder(place.parent)
        if new_folder:
            sync_folder(self.root)
            sync_folder(self.root.parent)


def _copy(reader: IO[bytes], writer: IO[bytes]) -> str:
    """Copy and hash in one pass."""
    digest = hashlib.sha256()
    while block := reader.read(_BLOCK_BYTES):
        digest.update(block)
        _write_all(writer, block)
    return digest.hexdigest()


def _write_all(writer: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[writer.write(rest) :]
