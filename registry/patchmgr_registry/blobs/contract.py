"""What a blob store is: bytes under the name of their SHA-256, written once, never changed. Each kind is a sibling."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from patchmgr.errors import IntegrityError, StorageError

_DIGEST = re.compile(r"[0-9a-f]{64}")
MEND = "run patchmgr fsck, and `patchmgr import` the folder of the package again"


@dataclass(frozen=True, slots=True)
class Blob:
    """One entry of a store's list."""

    sha256: str
    size_bytes: int
    stored: float
    """When, in seconds since 1970."""


class BlobStore(ABC):
    """Several processes may use a store at once: equal bytes end in one blob, whoever comes first.

    Every method raises StorageError when the disk, or what else holds the bytes, fails or refuses.
    """

    @abstractmethod
    def put_bytes(self, data: bytes) -> str:
        """Store bytes; the digest. A damaged blob of it is replaced. When it fails, nothing is left behind."""

    @abstractmethod
    def put_file(self, source: Path, *, sha256: str | None = None) -> str:
        """Store a copy of a file; the digest. A damaged blob of it is replaced.

        Args:
            source: the file.
            sha256: the digest that the file must have; a blob of it that is here already, and whole, is not copied
                again. It is read through to know that.

        Raises:
            NotFoundError: there is no such file.
            IntegrityError: the file has not the digest named.
        """

    @abstractmethod
    def path(self, sha256: str) -> Path:
        """A file with the bytes of a blob, not to be changed; it stays for an hour at least.

        Raises:
            IntegrityError: the blob is missing, or what was fetched does not have its digest.
        """

    @abstractmethod
    def open_verified(self, sha256: str) -> Path:
        """The same, after reading the blob through where it is kept, past every cache.

        Raises:
            IntegrityError: the blob is missing, or its bytes do not have its digest.
        """

    @abstractmethod
    def read_bytes(self, sha256: str) -> bytes:
        """The bytes of a blob, verified.

        Raises:
            IntegrityError: the blob is missing, or its bytes do not have its digest.
        """

    @abstractmethod
    def size(self, sha256: str) -> int | None:
        """The size of a blob in bytes; None: there is none. It is not read."""

    @abstractmethod
    def listing(self) -> Iterator[Blob]:
        """All blobs, by digest."""

    @abstractmethod
    def remove(self, sha256: str) -> int:
        """Take a blob out; its size in bytes, 0 when it was not there."""

    @abstractmethod
    def local(self, sha256: str) -> Path:
        """Where a blob lies on this disk, or would."""

    @abstractmethod
    def leftovers(self) -> Iterator[Path]:
        """Files on this disk that killed processes left half written, or that somebody is just writing."""

    @abstractmethod
    def remove_leftovers(self, *, older_than_s: float = 24 * 3600.0) -> int:
        """Take out those of them that are so old; how many files that were."""

    @property
    @abstractmethod
    def elsewhere(self) -> str | None:
        """Where the blobs are kept when it is not this disk."""

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        return (blob.sha256 for blob in self.listing())

    def __contains__(self, sha256: object) -> bool:
        """Whether there is a blob of that digest; it is not read."""
        return isinstance(sha256, str) and bool(_DIGEST.fullmatch(sha256)) and self.size(sha256) is not None

    def check(self, sha256: str) -> None:
        """Make sure that a blob is there; its bytes are not read.

        Raises:
            IntegrityError: it is missing.
        """
        if sha256 not in self:
            raise missing(sha256)


def missing(sha256: str) -> IntegrityError:
    """The error for a blob that is not there."""
    return IntegrityError(f"blob sha256:{sha256} is missing", hint=MEND)


def damaged(sha256: str, found: str) -> IntegrityError:
    """The error for a blob with bytes of another digest."""
    return IntegrityError(f"blob sha256:{sha256} holds bytes of sha256:{found}", hint=MEND)


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Turn a disk that refuses to be read into words; FileNotFoundError is left to who knows what was meant.

    Raises:
        StorageError: it is not allowed, or the disk failed.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"cannot read {place}: {reason}", hint="check its permissions and the disk") from error
