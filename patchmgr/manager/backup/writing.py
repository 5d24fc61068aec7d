"""Writing a backup, into a folder or a tar file, each byte compared with the digest that it must have."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Protocol

from patchmgr.durable import new_folder, placing, reading, storing, sync_folder
from patchmgr.errors import ConflictError, IntegrityError, UsageError
from patchmgr.manager.backup.contract import MANIFEST
from patchmgr.manager.backup.reading import copy_checked
from patchmgr.package.fields import FileRecord

TAR = ".tar"
_OTHER_ARCHIVES = (TAR, ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zip")


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
        with reading(name):
            reader = path.open("rb")
        with reader:
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
        with reading(name):
            reader = path.open("rb")
        with reader:
            hashed = _Hashed(reader, name)
            if path.stat().st_size == record.size_bytes:
                self._archive.addfile(_info(name, record.size_bytes), hashed)
            if hashed.digest.hexdigest() != record.sha256:
                raise IntegrityError(f"{name} is not what its digest says", hint="run `patchmgr fsck`")

    def finish(self, manifest: bytes) -> None:
        """See :meth:`Sink.finish`."""
        self._archive.addfile(_info(MANIFEST, len(manifest)), BytesIO(manifest))


class _Hashed:
    """A reader that digests what is read through it."""

    def __init__(self, reader: IO[bytes], name: str) -> None:
        self._reader, self._name = reader, name
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        with reading(self._name):
            block = self._reader.read(size)
        self.digest.update(block)
        return block


def check_ending(place: Path) -> None:
    """Refuse a name that promises another kind of file than there are.

    Raises:
        UsageError: it is that of a compressed archive, or ``.tar`` in capitals.
    """
    if place.suffix != TAR and place.name.lower().endswith(_OTHER_ARCHIVES):
        raise UsageError(
            f"a backup is a folder or a {TAR}, not {place.name!r}",
            hint=f"name it FILE{TAR}, and compress it afterwards",
        )


@contextlib.contextmanager
def new_backup(place: Path) -> Iterator[Sink]:
    """What becomes the backup when the block ends, and vanishes when it raises. Only its owner may read it.

    Raises:
        ConflictError: something was put there meanwhile.
        StorageError: the disk is full, read-only or failing.
    """
    if place.suffix != TAR:
        with new_folder(place, what="the backup", mode=0o700) as folder:
            yield FolderSink(folder)
        return
    with storing("the backup"):
        with placing("the backup", place.parent):
            handle, name = tempfile.mkstemp(prefix=".new-", dir=place.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    yield TarSink(archive)
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                raise ConflictError(f"there is something at {str(place)!r} already", hint="choose a new name")
            temporary.replace(place)
            sync_folder(place.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _info(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    return info
