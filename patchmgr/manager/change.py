"""Changing what a model is: plan, apply, revert, rollback. Every change makes a new generation, none alters an old."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.manager.carry_out import Outcome, carry_out
from patchmgr.manager.conflicts.refused import noting_conflicts
from patchmgr.manager.packages import adopt_folders, is_folder
from patchmgr.manager.recipe import find_kept
from patchmgr.manager.sharing.pull import brought_in
from patchmgr.manager.signing.ask import asking
from patchmgr.manager.states import ModelState, read_state
from patchmgr.manager.wanted import addition, back, removal, unless_changed
from patchmgr.ops.plan import Plan, make_plan
from patchmgr.ops.stack import StackChange

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def plan(
    manager: Manager, model: str, references: Sequence[str], *, revert: bool = False, cascade: bool = False
) -> Plan:
    """What applying (or reverting) these packages would do, by their manifests; their payloads are not read."""
    state = read_state(manager, model)
    if revert:
        wanted = removal(manager, references, cascade=cascade)
    else:
        wanted = noting_conflicts(manager, addition(manager, references), references)
    return _planned(manager, state, wanted(state))


def plan_rollback(manager: Manager, model: str, generation: int | None = None) -> Plan:
    """What rolling back would do."""
    state = read_state(manager, model)
    return _planned(manager, state, asking(manager, back(manager, generation))(state))


def apply(
    manager: Manager,
    model: str,
    references: Sequence[str],
    *,
    message: str = "",
    require: Sequence[str] = (),
    allow_conflicts: bool = False,
) -> Outcome:
    """Put packages on top of a model's stack, or exchange their versions.

    Args:
        manager: the registry.
        model: the model to change.
        references: packages; another version of one that is there takes its place. Those on the Hub are pulled.
        message: why, for the history.
        require: what the scores of the new state must be, such as ``reliability>=0.95``; measured in memory first.
        allow_conflicts: apply packages that answer a fact otherwise than the rest of the stack; the event says which.

    Raises:
        GateError: a requirement would not be met; nothing has changed.
        NotFoundError: no such model or package.
        BaseMismatchError: a package was made for another base.
        ConflictError: a package was computed on others that are not there, or answers a fact otherwise than another.
        IntegrityError: a byte of the base or of a package is not what its digest says.
        BusyError: another process is changing the model.
        StorageError: the disk has not the room, is read-only or failing; the model is as it was.
        HookError: a hook failed after the change was made; the message says where the model is now.
    """
    manager.registry.model(model)
    references = brought_in(manager, references, model=model)
    wanted = noting_conflicts(manager, addition(manager, references), references, allowed=allow_conflicts)
    if require or any(map(is_folder, references)):
        wanted(read_state(manager, model))  # for what is refused anyway, nothing is measured or taken in first
    adopt_folders(manager, references)
    if require:
        from patchmgr.manager.evaluate import check_gates  # torch, and only here

        wanted = unless_changed(manager.registry.model(model).generation, wanted)
        check_gates(manager, model, references, require)
    return carry_out(manager, model, "apply", wanted, message)


def revert(
    manager: Manager, model: str, references: Sequence[str], *, cascade: bool = False, message: str = ""
) -> Outcome:
    """Take packages out of a model's stack, wherever they lie in it: the rest is built anew from the base.

    Args:
        manager: the registry.
        model: the model to change.
        references: packages in its stack; a bare name means the version that is applied.
        cascade: take out those computed on them too.
        message: why, for the history.

    Raises:
        NotFoundError: no such model or package, or it is not applied.
        ConflictError: others were computed on one of them.
        IntegrityError: as for :func:`apply`.
        BusyError: as for :func:`apply`.
        StorageError: as for :func:`apply`.
    """
    return carry_out(manager, model, "revert", removal(manager, references, cascade=cascade), message)


def rollback(manager: Manager, model: str, generation: int | None = None, *, message: str = "") -> Outcome:
    """Make a model what it was after an earlier change: a new generation, linked to the old one's files if they exist.

    Args:
        manager: the registry.
        model: the model to change.
        generation: its number; None: the last one whose state is not the present one.
        message: why, for the history.

    Raises:
        NotFoundError: no such model or generation, or it was never finished.
        IntegrityError: as for :func:`apply`.
        BusyError: as for :func:`apply`.
        StorageError: as for :func:`apply`.
    """
    return carry_out(manager, model, "rollback", asking(manager, back(manager, generation)), message)


def _planned(manager: Manager, state: ModelState, change: StackChange) -> Plan:
    return make_plan(state.base, change, find_kept(manager, state, change.stack))
