"""Restoring: a backup becomes a home, and every model's state is built again from its base, byte for byte."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from patchmgr.durable import scratch_folder, storing, sync_folder
from patchmgr.errors import ConflictError, IntegrityError, UsageError
from patchmgr.manager.backup.contract import BLOBS, DATABASE, FOLDERS, BackupManifest, Source, copy_checked, open_backup
from patchmgr.manager.backup.rebuild import Rebuilt, rebuild
from patchmgr.manager.manager import Manager
from patchmgr.manager.progress import Progress, silent
from patchmgr.manager.settings import Settings
from patchmgr_registry import EventObject, Registry, timestamp

_MOVED = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "blobs", "models", *FOLDERS)
"""What of a home goes aside when another takes its place."""


@dataclass(frozen=True)
class Restored:
    """A home that was restored, or would be."""

    home: Path
    digest: str
    """Of the backup."""
    created: str
    n_files: int
    size_bytes: int
    events: int
    aside: Path | None = None
    """Where the home's earlier content lies now."""
    models: tuple[Rebuilt, ...] = ()


def restore(
    settings: Settings, place: Path, *, replace: bool = False, dry_run: bool = False, progress: Progress = silent
) -> Restored:
    """Put a backup in the place of a home that has nothing, or whose content then goes aside.

    Args:
        settings: name the home. No other process may use it meanwhile.
        place: the backup, a folder or a ``.tar``.
        replace: also where the home has something; it is moved into a folder ``replaced-…`` in it, and nothing is lost.
        dry_run: read and check everything, and change nothing.
        progress: told of bytes.

    Raises:
        NotFoundError: there is no backup.
        FormatError: it is none.
        IntegrityError: a byte of it is not what it was.
        ConflictError: the home has a registry.
        UsageError: the registry of these settings is on a server.
        BusyError: another process uses the home's registry.
        StorageError: the disk is full, read-only or failing.
    """
    if settings.database_url is not None:
        raise UsageError(
            "a backup is restored as a file, and these settings name another database",
            hint="leave PATCHMGR_DATABASE_URL out; `patchmgr registry copy` brings it to a server afterwards",
        )
    home = settings.home
    with open_backup(place) as (manifest, source):
        is_used = _check_home(home, replace=replace)
        with scratch_folder(home / "tmp", "restore-", what="the backup") as scratch:
            _unpack(manifest, source, scratch, progress)
            _check_registry(manifest, scratch, home)
            found = Restored(
                home, manifest.digest, manifest.created, len(manifest.files), manifest.size_bytes,
                manifest.events.sequence,
            )  # fmt: skip
            if dry_run:
                return found
            aside = _move_aside(home) if is_used else None
            _move_in(scratch, home)
    with Manager.open(home, progress=progress) as manager:
        models = rebuild(manager)
        with manager.registry.begin() as tx:
            tx.record_event(manager.origin, "restore", objects=[EventObject("backup", place.name, manifest.digest)])
            tx.commit()
    return Restored(home, found.digest, found.created, found.n_files, found.size_bytes, found.events, aside, models)


def _check_home(home: Path, *, replace: bool) -> bool:
    """Whether the home has something that must go aside."""
    if not (home / DATABASE).exists():
        if replace or not any((home / name).exists() for name in ("blobs", "models")):
            return any((home / name).exists() for name in _MOVED)
        raise ConflictError(f"{home} has blobs or models already", hint="--replace moves what is there aside")
    if not replace:
        with Registry.open(home) as registry:
            if registry.event_head().sequence:
                raise ConflictError(
                    f"{home} has a registry already", hint="choose another PATCHMGR_HOME, or --replace moves it aside"
                )
    return True


def _unpack(manifest: BackupManifest, source: Source, scratch: Path, progress: Progress) -> None:
    done = 0
    for name, record in manifest.files.items():
        known = name == DATABASE or name.partition("/")[0] in FOLDERS
        if not known and name != f"{BLOBS}{record.sha256}":
            raise IntegrityError(f"the backup lists {name!r}, which belongs into no home", hint="do not use it")
        with source.open(name) as reader:
            place = f"blobs/sha256/{record.sha256[:2]}/{record.sha256}" if name.startswith(BLOBS) else name
            copy_checked(reader, scratch / place, record, f"{name} in the backup")
            (scratch / place).chmod(0o444 if name.startswith(BLOBS) else 0o600)
        done += record.size_bytes
        progress(done, manifest.size_bytes, "checking (bytes)")


def _check_registry(manifest: BackupManifest, scratch: Path, home: Path) -> None:
    """The database is whole and the one that was backed up, has its blobs, and names folders of its new home."""
    if DATABASE not in manifest.files:
        raise IntegrityError("the backup has no database", hint="take another one")
    with Registry.open(scratch) as registry:
        problem = registry.verify_events()
        if problem is not None or registry.check_database():
            raise IntegrityError(f"the registry in the backup is damaged: {problem or registry.check_database()[0]}")
        head = registry.event_head()
        if (head.sequence, head.sha256) != (manifest.events.sequence, manifest.events.sha256):
            raise IntegrityError("the registry in the backup is not the one that its manifest tells of")
        lost = [sha256 for sha256 in registry.blob_digests() if f"{BLOBS}{sha256}" not in manifest.files]
        if lost:
            raise IntegrityError(f"the backup lacks the blob sha256:{lost[0]}", hint="take another one")
        with registry.begin() as tx:
            tx.move_folders(manifest.home, str(home))
            tx.commit()
    for extra in scratch.glob(f"{DATABASE}-*"):
        extra.unlink()


def _move_aside(home: Path) -> Path:
    if (home / DATABASE).exists():
        with Registry.open(home) as registry, registry.begin():
            pass  # nobody is writing
    with storing("the folder of what was there"):
        moment = timestamp().replace("-", "").replace(":", "").partition(".")[0]
        aside = home / f"replaced-{moment}Z"
        aside.mkdir()
        for name in _MOVED:
            if (home / name).exists():
                (home / name).rename(aside / name)
        sync_folder(home)
    return aside


def _move_in(scratch: Path, home: Path) -> None:
    """The database comes last: before it is there, the home is an empty one."""
    with storing("the restored home"):
        for name in ("blobs", *FOLDERS, DATABASE):
            if (scratch / name).exists():
                if (home / name).is_dir():
                    shutil.rmtree(home / name)  # empty, or it had been moved aside
                (scratch / name).rename(home / name)
        sync_folder(home)
