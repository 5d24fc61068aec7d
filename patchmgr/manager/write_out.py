"""Writing a state to a folder of the user's, as a checkpoint to ship; the model stays what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError
from patchmgr.manager.conflicts.refused import noting_conflicts
from patchmgr.manager.packages import adopt_folders, folder_of
from patchmgr.manager.recipe import find_kept, make_recipe
from patchmgr.manager.sharing.pull import brought_in
from patchmgr.manager.states import ModelState, read_state
from patchmgr.manager.wanted import addition
from patchmgr.ops import stack as stacks
from patchmgr.ops.generation import KeptFile, KeptFileError, write_generation
from patchmgr.ops.plan import Plan, make_plan
from patchmgr.ops.stack import Stack, StackChange
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class WrittenOut:
    """A checkpoint that was written, and the state that it is."""

    model: str
    folder: Path
    state_root: str
    stack: tuple[str, ...]
    written_bytes: int


def write_out(
    manager: Manager,
    model: str,
    references: Sequence[str],
    destination: Path,
    *,
    links: bool = False,
    allow_conflicts: bool = False,
) -> WrittenOut:
    """Write a model's state, with further packages on top, to a new folder.

    Args:
        manager: the registry.
        model: whose state.
        references: packages to put on top; none for the state as it is.
        destination: a folder that is not there yet, or is empty.
        links: link files that need not be written, instead of copying them.
        allow_conflicts: as for :func:`patchmgr.manager.change.apply`.

    Raises:
        ConflictError: the folder holds something or cannot be made anew, or packages do not go together.
        PatchmgrError: as for :func:`patchmgr.manager.change.apply`.
    """
    state = read_state(manager, model)
    destination = new_place(manager, state.base.folder, destination)
    references = brought_in(manager, references, model=model)
    stack = _wanted(manager, state, references, allow_conflicts=allow_conflicts).stack
    adopt_folders(manager, references)  # nothing is taken in for a state that cannot be
    root, written_bytes = write_stack(manager, state, stack, destination, links=links)
    record_write_out(manager, model, root, stack)
    names = tuple(manifest.reference for manifest in stack)
    return WrittenOut(model, destination, root, names, written_bytes)


def write_stack(
    manager: Manager, state: ModelState, stack: Stack, destination: Path, *, links: bool = False
) -> tuple[str, int]:
    """Write a stack on a model's base to a new folder.

    Returns:
        Its state root, and the bytes that were written.

    Raises:
        IntegrityError: a byte of the base or of a package is not what its digest says, or a result is not.
        StorageError: the disk has not the room, is read-only or failing.
    """

    def advance(done: int, total: int) -> None:
        manager.progress(done, total, "writing (bytes)")

    kept = _kept(manager, state, stack, destination) if links else {}
    recipe = make_recipe(manager, state, stack, kept, links=links)
    try:
        results = write_generation(recipe, destination, advance)
    except KeptFileError:  # cleared away meanwhile, or a file system without hard links
        recipe = make_recipe(manager, state, stack, {}, links=links)
        results = write_generation(recipe, destination, advance)
    return stacks.root_of(state.fingerprint.with_tensors(results), stack), recipe.written_bytes


def record_write_out(manager: Manager, model: str, root: str, stack: Stack) -> None:
    """Note that a state was written out."""
    packages = (EventObject("package", manifest.reference, manifest.digest) for manifest in stack)
    with manager.registry.begin() as tx:
        tx.record_event(manager.origin, "write-out", objects=[EventObject("model", model, root), *packages])
        tx.commit()


def plan_out(
    manager: Manager, model: str, references: Sequence[str], destination: Path, *, links: bool = False
) -> Plan:
    """What :func:`write_out` would write; its payloads are not read."""
    state = read_state(manager, model)
    destination = new_place(manager, state.base.folder, destination)
    change = _wanted(manager, state, references)
    kept = _kept(manager, state, change.stack, destination) if links else {}
    return make_plan(state.base, change, kept, links=links)


def _wanted(
    manager: Manager, state: ModelState, references: Sequence[str], *, allow_conflicts: bool = True
) -> StackChange:
    if not references:
        return StackChange(state.stack)
    return noting_conflicts(manager, addition(manager, references), references, allowed=allow_conflicts)(state)


def _kept(manager: Manager, state: ModelState, stack: Stack, destination: Path) -> Mapping[str, KeptFile]:
    """Files of generations that can be linked from there; nothing is linked into another file system."""
    kept = find_kept(manager, state, stack)
    standing = next(folder for folder in destination.parents if folder.is_dir())
    return {file: found for file, found in kept.items() if found.path.stat().st_dev == standing.stat().st_dev}


def named_place(manager: Manager, base: Path, destination: Path) -> Path:
    """The folder that is named, every link in its path followed, found to be apart from all that patchmgr reads.

    Raises:
        ConflictError: it lies in patchmgr's own folder or in that of a registered base, or one of these lies in it.
    """
    folder = Path(os.path.realpath(folder_of(str(destination))))
    kept = {Path(os.path.realpath(manager.settings.home)): "patchmgr's own folder"}
    for record in manager.registry.bases():
        kept[Path(os.path.realpath(record.folder))] = f"the folder of the registered base {record.source}"
    kept[Path(os.path.realpath(base))] = "the base's folder"
    for other, whose in kept.items():
        if folder.is_relative_to(other):
            raise ConflictError(f"{folder} lies in {whose}", hint="name a new folder elsewhere")
        if other.is_relative_to(folder) and other.exists():
            raise ConflictError(f"{folder} has {whose} in it", hint="name a new folder elsewhere")
    return folder


def new_place(manager: Manager, base: Path, destination: Path) -> Path:
    """The folder to make, every link in its path followed; what would end badly is refused before the work is done."""
    folder = named_place(manager, base, destination)
    blocking = next((path for path in folder.parents if path.exists() and not path.is_dir()), None)
    if blocking is not None:
        raise ConflictError(f"{blocking} is a file, so {folder} cannot be a folder", hint="name a folder elsewhere")
    if not folder.exists():
        return folder
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConflictError(f"{folder} is there already", hint="name a new folder, or an empty one")
    if folder == Path.cwd() or os.path.ismount(folder):  # the finished folder takes its place, and here it cannot
        raise ConflictError(f"{folder} cannot be exchanged for another", hint="name a new folder inside it")
    return folder
