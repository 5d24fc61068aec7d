"""Where an export is put: a folder that appears when it is whole, and replaces no other files than its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import new_folder, scratch_folder, storing, sync_folder
from patchmgr.errors import ConflictError
from patchmgr.exporters.contract import Written
from patchmgr.manager.write_out import new_place

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def find_place(manager: Manager, base: Path, destination: Path, *, force: bool) -> Path:
    """The folder to make; with ``force`` one that holds something passes, for :func:`check_replaceable` to judge.

    Raises:
        ConflictError: it holds something, lies in a folder of patchmgr's or in the base's, or cannot be made anew.
    """
    try:
        return new_place(manager, base, destination)
    except ConflictError:
        place = destination.expanduser().resolve()
        inside = any(place.is_relative_to(folder.resolve()) for folder in (manager.settings.home, base))
        if not force or inside or not _is_filled(place) or place == Path.cwd():
            raise
        return place


def check_replaceable(place: Path, files: Collection[str]) -> None:
    """Let nothing be replaced but what the export writes too: a folder that was named by mistake holds other files.

    Raises:
        ConflictError: names one of them.
    """
    if not _is_filled(place):
        return
    other = sorted(path.name for path in place.iterdir() if path.is_dir() or path.name not in files)
    if other:
        raise ConflictError(
            f"{place} holds {other[0]!r}, which this export would not write",
            hint="--force replaces an earlier export of this form only; name a new folder",
        )


def write_folder(place: Path, write: Callable[[Path], Written]) -> Written:
    """Make a folder, or exchange the one that is there, in one step when all is written.

    Raises:
        StorageError: the disk is full, read-only or failing; what was there is there still.
    """
    return _replacing(place, write) if _is_filled(place) else _filling(place, write)


def _is_filled(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _filling(place: Path, write: Callable[[Path], Written]) -> Written:
    with new_folder(place, what=f"the export {place.name}") as folder:
        return write(folder)


def _replacing(place: Path, write: Callable[[Path], Written]) -> Written:
    """Write beside the old folder, and exchange the two when all is there."""
    what = f"the export {place.name}"
    with scratch_folder(place.parent, f".old-{place.name}-", what=what) as aside:
        written = _filling(aside / "new", write)
        with storing(what):
            place.replace(aside / "old")
            try:
                (aside / "new").replace(place)
            except BaseException:
                (aside / "old").replace(place)
                raise
            sync_folder(place.parent)
    return written
