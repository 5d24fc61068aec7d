"""Restoring: a backup becomes a home, and every model's state is built again from its base, byte for byte."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from dataclasses import replace as with_values
from pathlib import Path

from patchmgr.durable import reading, scratch_folder, sync_tree
from patchmgr.errors import ConflictError, IntegrityError, UsageError
from patchmgr.manager.backup.contract import BLOBS, DATABASE
from patchmgr.manager.backup.incoming import settle, unpack
from patchmgr.manager.backup.placing import MOVED, put_in_place
from patchmgr.manager.backup.reading import open_backup
from patchmgr.manager.backup.rebuild import Rebuilt, rebuild
from patchmgr.manager.backup.unfinished import read_unfinished
from patchmgr.manager.manager import Manager
from patchmgr.manager.progress import Progress, silent
from patchmgr.manager.settings import Settings
from patchmgr_registry import EventObject, NewerRegistryError, Registry
from patchmgr_registry.blobs import blob_store


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
    problems: tuple[str, ...] = ()
    """What the backup says is wrong with its registry."""
    aside: Path | None = None
    """Where the home's earlier content lies now."""
    models: tuple[Rebuilt, ...] = ()


def restore(
    settings: Settings,
    place: Path,
    *,
    replace: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Restored:
    """Put a backup in the place of a home that has nothing, or whose content then goes aside.

    Args:
        settings: name the home, and where blobs are kept. No other process may use them meanwhile.
        place: the backup, a folder or a ``.tar``.
        replace: also where the home has something, even a registry that is damaged; it is moved into a folder
            ``replaced-…`` in it, and nothing is lost.
        force: also a backup that says that its registry was damaged.
        dry_run: read and check everything, and change nothing.
        progress: told of bytes.

    Raises:
        NotFoundError: there is no backup.
        FormatError: it is none.
        IntegrityError: a byte of it is not what it was.
        ConflictError: the home has a registry.
        UsageError: the registry of these settings is on a server.
        BusyError: another process uses the home's registry.
        StorageError: a disk or a bucket is full, read-only or failing.
    """
    if settings.database_url is not None:
        raise UsageError(
            "a backup is restored as a file, and these settings name another database",
            hint="leave PATCHMGR_DATABASE_URL out; `patchmgr registry copy` brings it to a server afterwards",
        )
    home = settings.home
    with open_backup(place) as (manifest, source):
        is_used = _check_home(home, replace=replace)
        beside = Path(tempfile.gettempdir()) if dry_run else home / "tmp"
        with scratch_folder(beside, "restore-", what="the backup") as scratch:
            unpack(manifest, source, scratch, progress, dry_run=dry_run)
            settle(manifest, scratch, home, force=force)
            found = Restored(
                home, manifest.digest, manifest.created, len(manifest.files), manifest.size_bytes,
                manifest.events.sequence, manifest.problems or (),
            )  # fmt: skip
            if dry_run:
                return found
            _send_blobs(settings, scratch)
            sync_tree(scratch)
            aside = put_in_place(scratch, home, is_used=is_used)
    with Manager(settings, Registry.open(home, blobs=settings.blobs), progress=progress) as manager:
        _record(manager, place.name, found)
        return with_values(found, aside=aside, models=rebuild(manager))


def _check_home(home: Path, *, replace: bool) -> bool:
    """Whether the home has something that must go aside."""
    with reading(str(home)):
        unfinished, there = read_unfinished(home), [name for name in MOVED if (home / name).exists()]
    if replace:
        return bool(there)
    if unfinished is not None:
        raise ConflictError(
            f"a restore into {home} was begun and has not ended",
            hint="if none is running any more, --replace begins it anew, and nothing is lost",
        )
    if DATABASE in there:
        _check_empty(home)
    elif {"blobs", "models"} & {*there}:
        raise ConflictError(f"{home} has blobs or models already", hint="--replace moves what is there aside")
    return bool(there)


def _check_empty(home: Path) -> None:
    try:
        with Registry.open(home) as registry:
            is_empty = registry.event_head().sequence == 0
    except (IntegrityError, NewerRegistryError) as error:
        raise ConflictError(
            f"{home} has a registry that cannot be read ({error.message})", hint="--replace moves it aside"
        ) from error
    if not is_empty:
        raise ConflictError(
            f"{home} has a registry already", hint="choose another PATCHMGR_HOME, or --replace moves it aside"
        )


def _send_blobs(settings: Settings, scratch: Path) -> None:
    """Put the blobs where these settings keep them, when that is not the home."""
    store = blob_store(settings.home, settings.blobs)
    if store.elsewhere is None:
        return
    for blob in sorted((scratch / BLOBS).rglob("*")):
        if blob.is_file():
            store.put_file(blob, sha256=blob.name)
    shutil.rmtree(scratch / BLOBS, ignore_errors=True)


def _record(manager: Manager, name: str, found: Restored) -> None:
    try:
        with manager.registry.begin() as tx:
            tx.record_event(manager.origin, "restore", objects=[EventObject("backup", name, found.digest)])
            tx.commit()
    except IntegrityError:
        if not found.problems:  # a chain whose end is broken takes no event any more
            raise
