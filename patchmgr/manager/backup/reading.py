"""Reading a backup, of which nothing is believed: its list is bounded, its files are plain, each byte is checked."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Protocol

from patchmgr.durable import reading
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.manager.backup.contract import LARGEST_MANIFEST_BYTES, MANIFEST, BackupManifest, parse_backup
from patchmgr.package.fields import FileRecord
from patchmgr.package.files import plain_files

_BLOCK_BYTES = 4 * 1024 * 1024
_NO_TAR = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, MemoryError)
"""What headers that are none make of the standard library's reader."""


class Source(Protocol):
    """A backup that is read."""

    names: frozenset[str]
    """Of everything in it."""

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """One file of it."""
        ...


class FolderSource:
    """A backup in a folder."""

    def __init__(self, folder: Path) -> None:
        with reading(f"the backup {folder}"):
            self._files = plain_files(folder)
        self.names = frozenset(self._files)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See :meth:`Source.open`."""
        with reading(f"{name} in the backup"):
            file = self._files[name].open("rb")
        with file:
            yield file


class TarSource:
    """A backup in a tar file, of which nothing is unpacked but what is asked for, as bytes."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {member.name: member for member in archive.getmembers()}
        odd = sorted(name for name, member in self._members.items() if not member.isfile() or member.issparse())
        if odd:
            raise FormatError(f"{odd[0]!r} in the backup is no plain file", hint="do not use it")
        self.names = frozenset(self._members)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See :meth:`Source.open`."""
        file = self._archive.extractfile(self._members[name])
        assert file is not None  # it is a plain file
        with file:
            yield file


@contextmanager
def open_backup(place: Path) -> Iterator[tuple[BackupManifest, Source]]:
    """A backup and its manifest.

    Raises:
        NotFoundError: there is none.
        FormatError: its manifest cannot be read, or it holds something else than that lists.
        IntegrityError: it lacks a file.
        StorageError: it cannot be read.
    """
    with reading(f"the backup {place}"):
        is_folder, is_file = place.is_dir(), place.is_file()
    if is_folder:
        yield _checked(place, FolderSource(place))
        return
    if not is_file:
        raise NotFoundError(f"there is no backup at {str(place)!r}", hint="`patchmgr backup` makes one")
    archive, source = _open_tar(place)
    with closing(archive):
        try:
            yield _checked(place, source)
        except (tarfile.TarError, EOFError) as error:  # it ends before what its headers say
            raise _no_backup(place, error) from None


def _open_tar(place: Path) -> tuple[tarfile.TarFile, TarSource]:
    try:
        with reading(f"the backup {place}"), ExitStack() as opened:
            archive = opened.enter_context(tarfile.open(place, "r:"))
            source = TarSource(archive)
            opened.pop_all()
            return archive, source
    except _NO_TAR as error:
        raise _no_backup(place, error) from None


def _no_backup(place: Path, error: BaseException) -> FormatError:
    reason = str(error) or type(error).__name__
    return FormatError(f"{place} cannot be read as a backup ({reason})", hint="take another one")


def _checked(place: Path, source: Source) -> tuple[BackupManifest, Source]:
    if MANIFEST not in source.names:
        raise NotFoundError(f"{str(place)!r} is no backup: it has no {MANIFEST}", hint="`patchmgr backup` makes one")
    with source.open(MANIFEST) as file, reading(f"{MANIFEST} in the backup"):
        data = file.read(LARGEST_MANIFEST_BYTES + 1)
    if len(data) > LARGEST_MANIFEST_BYTES:
        raise FormatError(f"{MANIFEST} is larger than {LARGEST_MANIFEST_BYTES} bytes", hint="do not use it")
    manifest = parse_backup(data)
    listed = manifest.files.keys() | {MANIFEST}
    if source.names - listed:
        raise FormatError(f"the backup holds {min(source.names - listed)!r}, which it does not list", hint="do not use")
    if listed - source.names:
        raise IntegrityError(f"the backup lacks {min(listed - source.names)!r}", hint="take another one")
    return manifest, source


def copy_checked(reader: IO[bytes], target: Path, record: FileRecord, what: str) -> None:
    """Copy bytes into a new file that is on the disk afterwards; errors as those of :func:`check_bytes`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as writer:
        check_bytes(reader, record, what, keep=writer.write)
        writer.flush()
        os.fsync(writer.fileno())


def check_bytes(
    reader: IO[bytes], record: FileRecord, what: str, *, keep: Callable[[bytes], object] = lambda block: None
) -> None:
    """Read bytes to their end, or to where they are too many, and give each block on.

    Raises:
        IntegrityError: they are not what the record says.
        StorageError: they cannot be read.
    """
    digest, size_bytes = hashlib.sha256(), 0
    while block := _block(reader, what):
        digest.update(block)
        size_bytes += len(block)
        if size_bytes > record.size_bytes:
            break
        keep(block)
    if (size_bytes, digest.hexdigest()) != (record.size_bytes, record.sha256):
        raise IntegrityError(f"{what} is not what its digest says", hint="its bytes were changed; take another one")


def _block(reader: IO[bytes], what: str) -> bytes:
    with reading(what):
        return reader.read(_BLOCK_BYTES)
