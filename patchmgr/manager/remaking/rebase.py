"""Rebasing: a package is made again from its own edits on another state, as its next version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from patchmgr.manager.edit import EditPreview, EditResult, check_edit, edit
from patchmgr.manager.order import EditOrder
from patchmgr.manager.remaking.alike import made_alike
from patchmgr.manager.remaking.ground import ground, on_stack
from patchmgr.manager.remaking.source import Source, Wishes, open_source
from patchmgr.manager.remaking.surviving import Survival, survival
from patchmgr.manager.states import ModelState, read_state
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Rebased:
    """What a rebase came to."""

    source: str
    """The version that was rebased."""
    edit: EditResult
    """The new one."""
    kept: tuple[str, ...]
    """Parameters that were taken over from the old version."""
    changed: Mapping[str, tuple[Any, Any]]
    """Parameters that were used with another value than before: the old one and the new one."""
    survival: Survival
    """What became of each edit."""


def rebase(manager: Manager, model: str, reference: str, wishes: Wishes) -> Rebased:
    """Make the next version of a package by its own method from its own edits on the state of a model.

    The state is the present one without the package itself and what was computed on it, or the pristine base. On the
    base that the version was made for, it is made with the parameters that it was made with; on another, only those
    are kept that somebody gave, and the others are derived anew. The model stays as it is.

    Args:
        manager: the registry.
        model: on whose state.
        reference: the version; one in a folder is taken into the registry first.
        wishes: what shall be otherwise than it was.

    Raises:
        NotFoundError: no such model or version, or no plugin brings its method.
        RequestError: its author withheld its edits, or the method cannot use one of them.
        UsageError: it was made with a text for statistics and none is given.
        GateError: a requirement is not met; nothing is stored.
        MethodError: the method cannot run on this model, or memory ran out.
    """
    source = open_source(manager, reference, done="rebased")
    order = rebase_order(manager, read_state(manager, model), source, wishes)
    return _carried_out(manager, model, source, order)


def check_rebase(manager: Manager, model: str, reference: str, wishes: Wishes) -> EditPreview:
    """Everything that :func:`rebase` checks before it loads the model."""
    source = open_source(manager, reference, done="rebased", look=True)
    return check_edit(manager, model, rebase_order(manager, read_state(manager, model), source, wishes))


def rebase_order(
    manager: Manager, state: ModelState, source: Source, wishes: Wishes, *, stack: Stack | None = None
) -> EditOrder:
    """An order that makes the next version of a package on a state.

    Args:
        manager: the registry.
        state: of the model.
        source: the version.
        wishes: how.
        stack: what to compute on; None: as ``wishes.on`` says.
    """
    manifest = source.manifest
    where = ground(state, wishes.on, {manifest.name}) if stack is None else on_stack(state, stack)
    return EditOrder(
        name=manifest.name,
        requests=source.requests,
        message=manifest.message if wishes.message is None else wishes.message,
        continues=source.continued(),
        origins=(source.named("rebased"),),
        action="rebase",
        anew=manifest.memory is not None and manifest.memory.level == "hidden",  # its keys are of other activations
        **where,
        **made_alike(manager, [source], wishes, other_base=other_base(state, manifest)),
    )


def rebased_dependants(
    manager: Manager, model: str, dependants: Stack, stack: Stack, wishes: Wishes
) -> tuple[Stack, tuple[Rebased, ...]]:
    """Packages that were computed on what is gone, each made again on what is there by then.

    Args:
        manager: the registry.
        model: whose packages they are.
        dependants: the packages, in their order.
        stack: what is left without them.
        wishes: how to make them; ``on`` and ``message`` say nothing.

    Returns:
        The stack with their new versions on top, and these.
    """
    state, done = read_state(manager, model), []
    wishes = replace(wishes, on=None, message=None)
    for manifest in dependants:
        source = open_source(manager, f"{manifest.name}@sha256:{manifest.digest}", done="rebased")
        made = _carried_out(manager, model, source, rebase_order(manager, state, source, wishes, stack=stack))
        done.append(made)
        stack = (*stack, parse_manifest(made.edit.version.manifest.encode()))
    return stack, tuple(done)


def other_base(state: ModelState, manifest: Manifest) -> bool:
    """Whether a version was made for another base than that of a model."""
    return state.fingerprint.weights_root != manifest.base.fingerprint


def _carried_out(manager: Manager, model: str, source: Source, order: EditOrder) -> Rebased:
    made = edit(manager, model, order)
    before = source.manifest.method.parameters
    after = parse_manifest(made.version.manifest.encode()).method.parameters
    known = manager.plugins.method(order.method).parameters.model_fields
    changed = {
        name: (before.get(name), value)
        for name, value in after.items()
        if name in known and before.get(name) != value
    }  # fmt: skip
    kept = tuple(sorted(name for name in order.inherited.values if name not in changed))
    found = survival(manager, source.manifest, made.version.reference, device=order.device, dtype=order.dtype)
    return Rebased(source.manifest.reference, made, kept, changed, found)
