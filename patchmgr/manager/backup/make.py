"""Making a backup while others go on working: the database as it is at one moment, then the blobs that it names."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr import __version__
from patchmgr.canonical import sha256_file
from patchmgr.durable import check_vacant, new_folder, scratch_folder, storing, sync_folder
from patchmgr.errors import ConflictError
from patchmgr.manager.backup.contract import (
    BLOBS,
    DATABASE,
    FOLDERS,
    BackupManifest,
    FolderSink,
    Head,
    Sink,
    TarSink,
)
from patchmgr.package.fields import FileRecord
from patchmgr_registry import EventObject, Registry

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

TAR = ".tar"


@dataclass(frozen=True)
class Backup:
    """A backup that was made, or would be."""

    place: Path
    digest: str | None
    """Of its manifest; None before it is made."""
    n_files: int
    size_bytes: int


def backup(manager: Manager, place: Path, *, artefacts: bool = False, dry_run: bool = False) -> Backup:
    """Copy the registry, its blobs, the trust list and withheld edits into a new folder, or a file ending in ``.tar``.

    Args:
        manager: the registry; it can be used meanwhile.
        place: where to.
        artefacts: statistics too, which can be large and can be made again.
        dry_run: say how much it would be.

    Raises:
        ConflictError: something is there already.
        UsageError: the registry is on a server, whose own tools copy it.
        IntegrityError: a blob is missing or damaged; there is no backup then.
        StorageError: the disk is full, read-only or failing.
    """
    place = place.absolute()
    check_vacant(place)
    with scratch_folder(manager.settings.home / "tmp", "backup-", what="the copy of the registry") as scratch:
        manager.registry.copy_database(scratch / DATABASE)
        with Registry.open(scratch) as copied:
            head, needed = copied.event_head(), copied.blob_digests()
        for log in scratch.glob(f"{DATABASE}-*"):
            log.unlink()
        listed = dict(_listed(manager, scratch, needed, artefacts=artefacts))
        size_bytes = sum(record.size_bytes for _, record in listed.values())
        if dry_run:
            return Backup(place, None, len(listed), size_bytes)
        manifest = BackupManifest(
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            program_version=__version__,
            home=str(manager.settings.home),
            events=Head(sequence=head.sequence, sha256=head.sha256),
            files={name: record for name, (_, record) in sorted(listed.items())},
        )
        with _sink(place) as sink:
            done = 0
            for name, (path, record) in sorted(listed.items()):
                sink.add(name, path, record)
                done += record.size_bytes
                manager.progress(done, size_bytes, "copying (bytes)")
            sink.finish(manifest.to_bytes())
    with manager.registry.begin() as tx:
        tx.record_event(manager.origin, "backup", objects=[EventObject("backup", place.name, manifest.digest)])
        tx.commit()
    return Backup(place, manifest.digest, len(listed), size_bytes)


def _listed(
    manager: Manager, scratch: Path, needed: Iterable[str], *, artefacts: bool
) -> Iterator[tuple[str, tuple[Path, FileRecord]]]:
    """Every file with its name in the backup; what the database names has its digest from there."""
    yield DATABASE, (scratch / DATABASE, _record(scratch / DATABASE))
    for sha256 in sorted(needed):
        path = manager.registry.blobs.path(sha256)
        yield f"{BLOBS}{sha256}", (path, FileRecord(sha256=sha256, size_bytes=path.stat().st_size))
    for folder in FOLDERS if artefacts else FOLDERS[:2]:
        for path in sorted((manager.settings.home / folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.endswith((".lock", ".part")):
                yield path.relative_to(manager.settings.home).as_posix(), (path, _record(path))


def _record(path: Path) -> FileRecord:
    return FileRecord(sha256=sha256_file(path), size_bytes=path.stat().st_size)


@contextlib.contextmanager
def _sink(place: Path) -> Iterator[Sink]:
    """What becomes the backup when the block ends, and vanishes when it raises."""
    if place.suffix != TAR:
        with new_folder(place, what="the backup") as folder:
            yield FolderSink(folder)
        return
    with storing("the backup"):
        place.parent.mkdir(parents=True, exist_ok=True)
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
