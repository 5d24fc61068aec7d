"""Carrying a change out: a generation is reserved, written and committed, and then everybody is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import PatchmgrError
from patchmgr.manager.after_change import Change, change_of, settle
from patchmgr.manager.aftermath import clear_leftovers, mend_links, notify, point_current
from patchmgr.manager.generation import commit, give_up, write
from patchmgr.manager.states import ModelState, check_current, read_state
from patchmgr.manager.wanted import Wanted, back, unless_changed
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack, StackChange
from patchmgr_registry import Action, GenerationRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Outcome:
    """What a change came to."""

    model: str
    changed: bool
    """False when the model was already as wanted; then nothing was written."""
    generation: int
    state_root: str
    folder: Path
    stack: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    written_bytes: int


Accept = Callable[[Mapping[str, str]], None]
"""Looks at the digests of the tensors that were written, before anybody sees them; raises to refuse them."""


def carry_out(
    manager: Manager, model: str, action: Action, wanted: Wanted, message: str, *, accept: Accept | None = None
) -> Outcome:
    """Change a model and call the user's hooks, which may take the change back.

    Raises:
        PatchmgrError: what ``wanted`` or ``accept`` raises; the model is as it was.
        IntegrityError: a byte of the base or of a package is not what its digest says.
        BusyError: another process is changing the model.
        StorageError: the disk has not the room, is read-only or failing.
        HookError: a hook failed after the change was made; the message says where the model is now.
    """
    outcome, change = _commit(manager, model, action, wanted, message, accept)
    if change is not None:
        settle(manager, change, lambda reason: _take_back(manager, change, reason))
    return outcome


def _take_back(manager: Manager, change: Change, reason: str) -> Change | None:
    """Roll a change back, unless another came after it."""
    wanted = unless_changed(change.generation, back(manager, change.previous_generation))
    return _commit(manager, change.model, "rollback", wanted, reason)[1]


def _commit(
    manager: Manager, model: str, action: Action, wanted: Wanted, message: str, accept: Accept | None = None
) -> tuple[Outcome, Change | None]:
    """Make the change; without a second value when the model was already as wanted."""
    clear_leftovers(manager)
    mend_links(manager)
    _look_ahead(manager, read_state(manager, model), wanted)
    with manager.registry.begin() as tx:  # no other writer until the number is reserved
        state = read_state(manager, model)
        change = wanted(state)
        if stacks.digests(change.stack) == stacks.digests(state.stack) and _is_whole(manager, state):
            point_current(manager, model, state.folder)
            return _outcome(state.generation, change, state.folder, changed=False, written_bytes=0), None
        pending = tx.begin_generation(model, action=action, packages=stacks.digests(change.stack), message=message)
        tx.commit()
    folder = manager.settings.generations(model) / str(pending.number)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        results, written_bytes = write(manager, state, change.stack, pending, folder)
        if accept is not None:
            accept(results)
        record = commit(manager, state, change, pending, folder, results)
    except BaseException:
        give_up(manager, model, pending.number, folder)
        raise
    point_current(manager, model, folder)
    notify(manager, action, model, stacks.digests(change.stack), record.state_root or "")
    outcome = _outcome(record, change, folder, changed=True, written_bytes=written_bytes)
    return outcome, change_of(state, record, folder, change.stack)


def _look_ahead(manager: Manager, state: ModelState, wanted: Wanted) -> None:
    """Refuse what cannot be, and read what must be read through, before others are kept waiting."""
    if stacks.digests(wanted(state).stack) == stacks.digests(state.stack):
        _is_whole(manager, state)


def _is_whole(manager: Manager, state: ModelState) -> bool:
    try:
        check_current(manager, state)
    except PatchmgrError:
        return False
    return True


def _outcome(
    record: GenerationRecord, change: StackChange, folder: Path, *, changed: bool, written_bytes: int
) -> Outcome:
    def references(stack: Stack) -> tuple[str, ...]:
        return tuple(manifest.reference for manifest in stack)

    return Outcome(
        model=record.model,
        changed=changed,
        generation=record.number,
        state_root=record.state_root or "",
        folder=folder,
        stack=references(change.stack),
        added=references(change.added),
        removed=references(change.removed),
        written_bytes=written_bytes,
    )
