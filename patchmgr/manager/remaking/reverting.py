"""Reverting what more hangs on: single edits of a package, and packages that others were computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from patchmgr.errors import UsageError
from patchmgr.manager.carry_out import Outcome, carry_out
from patchmgr.manager.edit import EditPreview, EditResult, check_edit, edit
from patchmgr.manager.evaluate import Evaluated, EvaluationOrder, store_scores
from patchmgr.manager.recipe import find_kept
from patchmgr.manager.remaking.going_on import order_without
from patchmgr.manager.remaking.rebase import Rebased, rebase_order, rebased_dependants
from patchmgr.manager.remaking.source import Source, Wishes, open_source
from patchmgr.manager.remaking.surviving import compute_dtype
from patchmgr.manager.signing.ask import asking
from patchmgr.manager.states import ModelState, read_state
from patchmgr.manager.subjects import Subject, after
from patchmgr.manager.wanted import applied, becoming, removal
from patchmgr.ops import stack as stacks
from patchmgr.ops.plan import Plan, make_plan
from patchmgr.ops.stack import Stack, StackChange
from patchmgr.package.manifest import parse_manifest
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

Dependants = Literal["refuse", "cascade", "rebase", "force"]
"""What becomes of packages that were computed on what is taken out: they keep it from being taken out, go too, are made
again on what is left, or stay as they are."""


@dataclass(frozen=True)
class Reverted:
    """What taking out came to."""

    outcome: Outcome | None
    """None: only the version without the edits was made."""
    made: EditResult | None = None
    """The version without the edits."""
    rebased: tuple[Rebased, ...] = ()
    """The new versions of what was computed on what is gone."""
    measured: Evaluated | None = None
    """What is left, where packages stay by force without what they were computed on."""


@dataclass(frozen=True)
class RevertPreview:
    """What taking out would do."""

    plan: Plan
    """Without the packages that would be made."""
    made: tuple[EditPreview, ...]


@dataclass(frozen=True)
class _Taken:
    """What is taken out of a model."""

    state: ModelState
    change: StackChange
    """The stack without it."""
    dependants: Stack
    """What was computed on it and leaves the stack with it."""
    source: Source | None
    """The package that loses edits; None: whole packages go."""


def take_out(
    manager: Manager,
    model: str,
    references: Sequence[str],
    wishes: Wishes,
    *,
    edits: Sequence[str] = (),
    dependants: Dependants = "refuse",
    apply: bool = True,
    measure: bool = True,
) -> Reverted:
    """Take packages, or edits of one package, out of a model; everything that must be made is made first.

    Of a package that loses edits the next version is made without them, on what the version was computed on, and takes
    its place. What was computed on what goes can be made again: one package after the other on the state that is left.

    Args:
        manager: the registry.
        model: the model to change.
        references: packages in its stack; a bare name means the version that is applied.
        wishes: how to make what must be made; its message is the history's too.
        edits: take out only these of the one package, as :func:`patchmgr.manager.remaking.picking.find` takes them.
        dependants: what becomes of what was computed on it.
        apply: False: only make the version without the edits, which need not be applied.
        measure: False: do not measure what packages that stay by force are worth without what they were computed on.

    Raises:
        NotFoundError: no such model, package or edit, or it is not applied, or no plugin brings the method.
        ConflictError: others were computed on it, or somebody changed the model meanwhile.
        RequestError: an author withheld the edits of what must be made again.
        UsageError: no edit would be left, or a text for statistics must be given.
        GateError: a requirement is not met.
        PatchmgrError: as for :func:`patchmgr.manager.change.revert`; the model is as it was, and versions that were
            made by then stay in the registry.
    """
    taken = _taken(manager, model, references, edits, dependants, apply=apply)
    made, stack = None, taken.change.stack
    rebased: tuple[Rebased, ...] = ()
    if taken.source is not None:
        made = edit(manager, model, order_without(manager, taken.source, edits, wishes))
        stack = (*stack, parse_manifest(made.version.manifest.encode()))
    if not apply:
        return Reverted(None, made)
    if dependants == "rebase":
        stack, rebased = rebased_dependants(manager, model, taken.dependants, stack, wishes)
    change = stacks.exchange(taken.state.stack, stack)
    lost = dependants == "force" and any(set(p.parent.packages) - set(stacks.digests(stack)) for p in stack)
    measured = _measured(manager, taken.state, change, wishes) if lost and measure else None
    if made or rebased or measured:
        wanted = asking(manager, becoming(stack, taken.state.generation.number))
    else:
        wanted = removal(manager, references, cascade=dependants == "cascade", force=dependants == "force")
    message = made.version.message if made is not None and wishes.message is None else wishes.message or ""
    outcome = carry_out(manager, model, "revert", wanted, message)
    if measured is not None:
        subject, found = measured
        event_object = EventObject("model", model, outcome.state_root)
        store_scores(manager, [replace(subject, event_object=event_object)], [found])
    return Reverted(outcome, made, rebased, None if measured is None else measured[1])


def check_take_out(
    manager: Manager,
    model: str,
    references: Sequence[str],
    wishes: Wishes,
    *,
    edits: Sequence[str] = (),
    dependants: Dependants = "refuse",
    apply: bool = True,
) -> RevertPreview:
    """Everything that :func:`take_out` checks before it makes or changes anything."""
    taken = _taken(manager, model, references, edits, dependants, apply=apply)
    orders = []
    if taken.source is not None:
        orders.append(order_without(manager, taken.source, edits, wishes))
    if dependants == "rebase":
        sources = [open_source(manager, f"{m.name}@sha256:{m.digest}", done="rebased") for m in taken.dependants]
        stack = taken.change.stack
        orders += [rebase_order(manager, taken.state, source, wishes, stack=stack) for source in sources]
    made: list[EditPreview] = []
    for order in orders:
        preview = check_edit(manager, model, order)
        new = tuple(each.reference for each in made) if order.action == "rebase" else ()
        made.append(replace(preview, on=(*preview.on, *new)))
    plan = make_plan(taken.state.base, taken.change, find_kept(manager, taken.state, taken.change.stack))
    return RevertPreview(plan, tuple(made))


def _taken(
    manager: Manager,
    model: str,
    references: Sequence[str],
    edits: Sequence[str],
    dependants: Dependants,
    *,
    apply: bool,
) -> _Taken:
    state = read_state(manager, model)
    if edits and len(references) != 1:
        raise UsageError("edits are taken out of one package", hint="name one package beside --edit")
    if not apply and not edits:
        raise UsageError("there is nothing to make", hint="--no-apply goes with --edit")
    leaving = [manifest for text in references for manifest in applied(manager, state.stack, text)]
    source = None
    if edits:
        source = open_source(manager, f"{leaving[0].name}@sha256:{leaving[0].digest}", done="reverted in part")
    if not apply:
        return _Taken(state, StackChange(state.stack), (), source)
    change = stacks.remove(
        state.stack, leaving, cascade=dependants in ("cascade", "rebase"), force=dependants == "force"
    )
    gone = set(stacks.digests(leaving))
    return _Taken(state, change, tuple(each for each in change.removed if each.digest not in gone), source)


def _measured(manager: Manager, state: ModelState, change: StackChange, wishes: Wishes) -> tuple[Subject, Evaluated]:
    """What is left, before it is made; nothing has changed when it cannot be measured."""
    from patchmgr.manager.measuring import Measurer

    order = EvaluationOrder(device=wishes.device, dtype=compute_dtype(wishes.device, wishes.dtype))
    subject = after(manager, state, change)
    return subject, Measurer.of(manager, order, ()).run(subject)
