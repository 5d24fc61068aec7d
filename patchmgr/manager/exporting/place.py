"""Where an export is put: a folder that appears when it is whole, and replaces nothing but an earlier export.

Each export holds the file :data:`MARKER`, which says its form and its files; what has none was not made here.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.canonical import canonical_json
from patchmgr.durable import new_folder, scratch_folder, storing, sync_folder
from patchmgr.errors import ConflictError
from patchmgr.exporters.contract import Written
from patchmgr.manager.write_out import named_place, new_place

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

MARKER = ".patchmgr-export.json"


def find_place(manager: Manager, base: Path, destination: Path, *, force: bool) -> Path:
    """The folder to make; with ``force`` one that holds something passes, for :func:`check_replaceable` to judge.

    Raises:
        ConflictError: it holds something, lies in a folder of patchmgr's or of a base, or around one, or cannot be made
            anew.
    """
    place = named_place(manager, base, destination)
    if force and _is_filled(place) and place != Path.cwd() and not os.path.ismount(place):
        return place
    return new_place(manager, base, destination)


def check_replaceable(place: Path, form: str, files: Collection[str]) -> None:
    """Let nothing be replaced but an export of the same form with nothing else in it.

    Args:
        place: a folder.
        form: of the export that would replace it.
        files: which that export would write.

    Raises:
        ConflictError: it holds something and no marker, one of another form, or a file that neither export writes.
    """
    if not _is_filled(place):
        return
    hint = "--force replaces an earlier export of this form only; name a new folder"
    marked = _marker(place)
    if marked is None:
        raise ConflictError(f"{place} holds files and is no export of patchmgr's: it has no {MARKER}", hint=hint)
    if marked["form"] != form:
        raise ConflictError(f"{place} is an export --to {marked['form']}", hint=hint)
    known = {MARKER, *files, *marked["files"]}
    other = sorted(path.name for path in place.iterdir() if path.is_dir() or path.name not in known)
    if other:
        raise ConflictError(f"{place} holds {other[0]!r}, which this export would not write", hint=hint)


def mark(folder: Path, form: str) -> None:
    """Say in a finished export that it is one, of which form and of which files."""
    files = sorted(path.name for path in folder.iterdir())
    (folder / MARKER).write_bytes(canonical_json({"schema_version": 1, "form": form, "files": files}))


def write_folder(place: Path, write: Callable[[Path], Written]) -> Written:
    """Make a folder, or put the finished one in the place of the one that is there.

    Raises:
        StorageError: the disk is full, read-only or failing; what was there is there still.
    """
    return _replacing(place, write) if _is_filled(place) else _filling(place, write)


def _is_filled(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _marker(place: Path) -> dict[str, Any] | None:
    """What the marker says; None where there is none, or no readable one."""
    try:
        marked = json.loads((place / MARKER).read_bytes())
        whole = isinstance(marked["form"], str) and all(isinstance(name, str) for name in marked["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return marked if whole else None


def _filling(place: Path, write: Callable[[Path], Written]) -> Written:
    with new_folder(place, what=f"the export {place.name}") as folder:
        return write(folder)


def _replacing(place: Path, write: Callable[[Path], Written]) -> Written:
    """Write beside the old folder, and let the new one take its place when all is there."""
    what = f"the export {place.name}"
    with scratch_folder(place.parent, f".new-{place.name}-", what=what) as aside:
        written = _filling(aside / "new", write)
        with storing(what):
            _take_place(aside / "new", place)
    return written


def _take_place(new: Path, place: Path) -> None:
    """Two renames: the old folder goes aside, and is deleted only when the new one stands where it was.

    Whatever is raised meanwhile, the one or the other stands there afterwards. A process that is killed between the
    two leaves the old one beside, under a name that begins with ``.old-``.
    """
    old = Path(tempfile.mkdtemp(prefix=f".old-{place.name}-", dir=place.parent))
    try:
        place.replace(old)
        new.replace(place)
        sync_folder(place.parent)
    finally:
        if os.path.lexists(place):
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.replace(place)
