"""Putting a restored home in place: what was there goes aside, and nothing of it is lost at any moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from patchmgr.durable import storing, sync_folder
from patchmgr.errors import BusyError, PatchmgrError
from patchmgr.manager.backup.contract import DATABASE, FOLDERS
from patchmgr.manager.backup.unfinished import Unfinished, end_unfinished, note_unfinished, read_unfinished
from patchmgr_registry import Registry, timestamp

MOVED = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "blobs", "models", *FOLDERS)
"""What of a home goes aside when another takes its place."""


def put_in_place(scratch: Path, home: Path, *, is_used: bool) -> Path | None:
    """Move what a home has aside, and what was unpacked into it; where the home's earlier content lies now.

    A process that is killed in the midst of it leaves a home that every command refuses, and that is restored anew.

    Raises:
        BusyError: another process is writing to the home's registry.
        StorageError: the disk is full, read-only or failing.
    """
    with storing("the restored home"):
        earlier = read_unfinished(home)
        if earlier is None and is_used:
            _wait_for_writers(home)
        aside = _move_aside(home, earlier, is_used=is_used)
        for name in ("blobs", *FOLDERS, DATABASE):
            if (scratch / name).exists():
                if (home / name).is_dir():
                    shutil.rmtree(home / name)  # empty, or it had been moved aside
                (scratch / name).rename(home / name)
        sync_folder(home)
        end_unfinished(home)
    return aside


def _wait_for_writers(home: Path) -> None:
    """Make sure that nobody writes; what is too damaged to be opened nobody does."""
    if not (home / DATABASE).exists():
        return
    try:
        with Registry.open(home) as registry, registry.begin():
            pass
    except BusyError:
        raise
    except PatchmgrError:
        return


def _move_aside(home: Path, earlier: Unfinished | None, *, is_used: bool) -> Path | None:
    """Move everything into a folder of its own, or go on with what a killed restore had begun.

    What that one had taken out of its backup already goes into a folder inside it.
    """
    aside = home / earlier.aside if earlier is not None and earlier.aside else None
    if is_used:
        aside = aside or _vacant(home, "replaced")
        goes_on = earlier is not None and not earlier.moved and not _clashes(home, aside)
        target = aside if goes_on or not aside.exists() else _vacant(aside, "half-restored")
        note_unfinished(home, Unfinished(aside.name, moved=target != aside))
        target.mkdir(parents=True, exist_ok=True)
        for name in MOVED:
            if os.path.lexists(home / name):
                (home / name).rename(target / name)
        sync_folder(target)
        sync_folder(aside)
    note_unfinished(home, Unfinished(aside.name if aside else "", moved=True))
    return aside


def _clashes(home: Path, aside: Path) -> bool:
    return any(os.path.lexists(home / name) and os.path.lexists(aside / name) for name in MOVED)


def _vacant(folder: Path, word: str) -> Path:
    """A name in a folder that nothing has, with the moment in it."""
    moment = timestamp().replace("-", "").replace(":", "").partition(".")[0]
    names = (f"{word}-{moment}Z{f'-{number}' if number > 1 else ''}" for number in range(1, 1000))
    return next(folder / name for name in names if not os.path.lexists(folder / name))
