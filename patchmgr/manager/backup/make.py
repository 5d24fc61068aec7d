"""Making a backup while others go on working: the database as it is at one moment, then the blobs that it names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr import __version__
from patchmgr.canonical import sha256_file
from patchmgr.durable import check_vacant, scratch_folder
from patchmgr.errors import IntegrityError, StorageError
from patchmgr.manager.backup.contract import (
    BLOBS,
    DATABASE,
    FOLDERS,
    LARGEST_MANIFEST_BYTES,
    BackupManifest,
    Head,
    problems_of,
)
from patchmgr.manager.backup.writing import check_ending, new_backup
from patchmgr.package.fields import FileRecord
from patchmgr_registry import Anchor, EventObject, Registry

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Backup:
    """A backup that was made, or would be."""

    place: Path
    digest: str | None
    """Of its manifest; None before it is made."""
    n_files: int
    size_bytes: int
    problems: tuple[str, ...] = ()
    """What is wrong with the registry that was copied all the same."""


def backup(
    manager: Manager, place: Path, *, artefacts: bool = False, force: bool = False, dry_run: bool = False
) -> Backup:
    """Copy the registry, its blobs, the trust list and withheld edits into a new folder, or a file ending in ``.tar``.

    Args:
        manager: the registry; it can be used meanwhile.
        place: where to.
        artefacts: statistics too, which can be large and can be made again.
        force: also when the database is damaged or its chain of events is broken; the backup then says so.
        dry_run: say how much it would be.

    Raises:
        ConflictError: something is there already.
        UsageError: the registry is on a server, whose own tools copy it, or the name is that of another kind of file.
        IntegrityError: the database or a blob is damaged, or the chain of events is broken; there is no backup then.
        StorageError: the disk is full, read-only or failing.
    """
    place = place.absolute()
    check_ending(place)
    check_vacant(place)
    with scratch_folder(manager.settings.home / "tmp", "backup-", what="the copy of the registry") as scratch:
        manager.registry.copy_database(scratch / DATABASE)
        head, needed, problems = _survey(scratch, force=force)
        listed = dict(_listed(manager, scratch, needed, artefacts=artefacts))
        size_bytes = sum(record.size_bytes for _, record in listed.values())
        if dry_run:
            return Backup(place, None, len(listed), size_bytes, problems)
        manifest = _manifest(manager.settings.home, head, listed, problems)
        with new_backup(place) as sink:
            done = 0
            for name, (path, record) in sorted(listed.items()):
                sink.add(name, path, record)
                done += record.size_bytes
                manager.progress(done, size_bytes, "copying (bytes)")
            sink.finish(manifest.to_bytes())
    # a chain whose end is broken takes no event any more; its copy is there all the same
    with contextlib.suppress(*([IntegrityError] if problems else [])), manager.registry.begin() as tx:
        tx.record_event(manager.origin, "backup", objects=[EventObject("backup", place.name, manifest.digest)])
        tx.commit()
    return Backup(place, manifest.digest, len(listed), size_bytes, problems)


def _survey(scratch: Path, *, force: bool) -> tuple[Anchor, Sequence[str], tuple[str, ...]]:
    """The end of the copy's chain, the blobs that it needs, and what is wrong with it; nothing may be unless forced."""
    with Registry.open(scratch) as copied:
        problems = problems_of(copied)
        if problems and not force:
            raise IntegrityError(
                f"the registry is damaged, and a backup of it could not be restored: {problems[0]}",
                hint="`patchmgr restore` an earlier backup; --force copies it as it is",
            )
        found = copied.event_head(), tuple(copied.blob_digests()), problems
    for log in scratch.glob(f"{DATABASE}-*"):
        log.unlink()
    return found


def _manifest(
    home: Path, head: Anchor, listed: Mapping[str, tuple[Path, FileRecord]], problems: tuple[str, ...]
) -> BackupManifest:
    real = os.path.realpath(home)
    manifest = BackupManifest(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        program_version=__version__,
        home=str(home),
        real_home=None if real == str(home) else real,
        events=Head(sequence=head.sequence, sha256=head.sha256),
        files={name: record for name, (_, record) in sorted(listed.items())},
        problems=problems or None,
    )
    if len(manifest.to_bytes()) > LARGEST_MANIFEST_BYTES:
        raise StorageError(
            f"{len(listed)} files are more than the list of a backup holds", hint="leave --artefacts out, or run gc"
        )
    return manifest


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
