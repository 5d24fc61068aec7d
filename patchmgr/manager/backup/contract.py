"""What a backup is: ``backup.json`` and the files that it lists, in a folder or in a ``.tar``.

``registry.db`` is the database as one moment saw it, ``blobs/<sha256>`` are the payloads that it needs, ``trust/`` and
``withheld/`` those of the home, ``artefacts/`` only when asked for. Bases are not in it, nor generations: these are
rebuilt from the bases.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Final, Literal, Protocol

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.package.fields import Count, FileRecord, InnerPath, Moment, Section, Sha256
from patchmgr.package.files import plain_files
from patchmgr.package.parsing import parse_canonical

MANIFEST: Final = "backup.json"
DATABASE: Final = "registry.db"
BLOBS: Final = "blobs/"
FOLDERS: Final = ("trust", "withheld", "artefacts")
"""Of the home, kept under their own names."""
FORMAT_VERSION: Final = 1
_BLOCK_BYTES = 4 * 1024 * 1024


class Head(Section):
    """Where the chain of events ended."""

    sequence: Count
    sha256: Sha256


class BackupManifest(Section):
    """What a backup holds, and of what."""

    format_version: Literal[1] = FORMAT_VERSION
    created: Moment
    program_version: str
    home: str
    """Where it lay; the paths in the database are moved from there to where it is restored."""
    events: Head
    files: Mapping[InnerPath, FileRecord]

    def to_bytes(self) -> bytes:
        """The canonical bytes of ``backup.json``."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """What the backup is known by."""
        return sha256_hex(self.to_bytes())

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files.values())


def parse_backup(data: bytes) -> BackupManifest:
    """A manifest from the bytes of ``backup.json``; errors as those of :func:`parse_canonical`."""
    return parse_canonical(BackupManifest, data, MANIFEST, version=FORMAT_VERSION, hint="take another backup")


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
        self._files = plain_files(folder)
        self.names = frozenset(self._files)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See :meth:`Source.open`."""
        with self._files[name].open("rb") as file:
            yield file


class TarSource:
    """A backup in a tar file, of which nothing is unpacked but what is asked for, as bytes."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {member.name: member for member in archive.getmembers()}
        odd = sorted(name for name, member in self._members.items() if not member.isfile())
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
    """
    if place.is_dir():
        yield _checked(place, FolderSource(place))
        return
    if not place.is_file():
        raise NotFoundError(f"there is no backup at {str(place)!r}", hint="`patchmgr backup` makes one")
    try:
        with tarfile.open(place, "r:") as archive:
            yield _checked(place, TarSource(archive))
    except (tarfile.TarError, EOFError) as error:
        raise FormatError(f"{place} cannot be read as a backup ({error})", hint="take another one") from None


def _checked(place: Path, source: Source) -> tuple[BackupManifest, Source]:
    if MANIFEST not in source.names:
        raise NotFoundError(f"{str(place)!r} is no backup: it has no {MANIFEST}", hint="`patchmgr backup` makes one")
    with source.open(MANIFEST) as file:
        manifest = parse_backup(file.read())
    listed = manifest.files.keys() | {MANIFEST}
    if source.names - listed:
        raise FormatError(f"the backup holds {min(source.names - listed)!r}, which it does not list", hint="do not use")
    if listed - source.names:
        raise IntegrityError(f"the backup lacks {min(listed - source.names)!r}", hint="take another one")
    return manifest, source


def copy_checked(reader: IO[bytes], target: Path, record: FileRecord, what: str) -> None:
    """Copy bytes into a new file that is on the disk afterwards.

    Raises:
        IntegrityError: they are not what the record says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size_bytes = hashlib.sha256(), 0
    with target.open("xb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            digest.update(block)
            size_bytes += len(block)
            if size_bytes > record.size_bytes:
                break
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    if (size_bytes, digest.hexdigest()) != (record.size_bytes, record.sha256):
        raise IntegrityError(f"{what} is not what its digest says", hint="its bytes were changed; take another one")


class Sink(Protocol):
    """A backup in the making."""

    def add(self, name: str, path: Path, record: FileRecord) -> None:
        """Copy a file into it; IntegrityError when its bytes are not what the record says."""
        ...

    def finish(self, manifest: bytes) -> None:
        """Add the manifest."""
        ...


class FolderSink:
    """Into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, path: Path, record: FileRecord) -> None:
        """See :meth:`Sink.add`."""
        with path.open("rb") as reader:
            copy_checked(reader, self._folder / name, record, name)
        shutil.copymode(path, self._folder / name)

    def finish(self, manifest: bytes) -> None:
        """See :meth:`Sink.finish`."""
        (self._folder / MANIFEST).write_bytes(manifest)


class TarSink:
    """Into a tar file, without times and owners."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, path: Path, record: FileRecord) -> None:
        """See :meth:`Sink.add`."""
        with path.open("rb") as reader:
            hashed = _Hashed(reader)
            if path.stat().st_size == record.size_bytes:
                self._archive.addfile(_info(name, record.size_bytes), hashed)
            if hashed.digest.hexdigest() != record.sha256:
                raise IntegrityError(f"{name} is not what its digest says", hint="run `patchmgr fsck`")

    def finish(self, manifest: bytes) -> None:
        """See :meth:`Sink.finish`."""
        self._archive.addfile(_info(MANIFEST, len(manifest)), BytesIO(manifest))


class _Hashed:
    """A reader that digests what is read through it."""

    def __init__(self, reader: IO[bytes]) -> None:
        self._reader = reader
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block = self._reader.read(size)
        self.digest.update(block)
        return block


def _info(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    return info
