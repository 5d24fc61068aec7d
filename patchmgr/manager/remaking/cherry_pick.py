"""Cherry-picking: some edits of a package, made again on the state of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.edit import EditPreview, EditResult, check_edit, edit
from patchmgr.manager.order import EditOrder
from patchmgr.manager.remaking.alike import made_alike
from patchmgr.manager.remaking.going_on import edits_kept
from patchmgr.manager.remaking.ground import ground
from patchmgr.manager.remaking.picking import matching, pick
from patchmgr.manager.remaking.rebase import other_base
from patchmgr.manager.remaking.source import Source, Wishes, open_source
from patchmgr.manager.states import read_state

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def cherry_pick(
    manager: Manager,
    model: str,
    reference: str,
    edits: Sequence[str],
    wishes: Wishes,
    *,
    match: Sequence[str] = (),
    name: str | None = None,
) -> EditResult:
    """Make a package of some edits of another, by its method and as it was made; the model stays as it is.

    It is computed on the present state without the package that the edits come from, or on the pristine base.

    Args:
        manager: the registry.
        model: on whose state.
        reference: the version with the edits; one in a folder is taken into the registry first.
        edits: which, as :func:`patchmgr.manager.remaking.picking.find` takes them.
        wishes: what shall be otherwise than it was.
        match: texts; edits that hold one of them are taken too.
        name: of the new package; None: it is the next version of the same.

    Raises:
        NotFoundError: no such model, version or edit, or no plugin brings the method.
        RequestError: the version's author withheld its edits, or the method cannot use one of them.
        UsageError: no edit is named, or one means several, or as for a rebase.
        GateError: a requirement is not met; nothing is stored.
        MethodError: the method cannot run on this model, or memory ran out.
    """
    source = open_source(manager, reference, done="picked from")
    return edit(manager, model, _order(manager, model, source, edits, wishes, match, name))


def check_cherry_pick(
    manager: Manager,
    model: str,
    reference: str,
    edits: Sequence[str],
    wishes: Wishes,
    *,
    match: Sequence[str] = (),
    name: str | None = None,
) -> EditPreview:
    """Everything that :func:`cherry_pick` checks before it loads the model."""
    source = open_source(manager, reference, done="picked from", look=True)
    return check_edit(manager, model, _order(manager, model, source, edits, wishes, match, name))


def _order(
    manager: Manager,
    model: str,
    source: Source,
    edits: Sequence[str],
    wishes: Wishes,
    match: Sequence[str],
    name: str | None,
) -> EditOrder:
    manifest, state = source.manifest, read_state(manager, model)
    places = _picked(source, edits, match)
    made = made_alike(manager, [source], wishes, other_base=other_base(state, manifest))
    if name in (None, manifest.name):
        fields = {"continues": source.continued(), **edits_kept(source, places, method=made["method"])}
    else:
        fields = {"requests": tuple(source.requests[place] for place in places), "anew": True}
    return EditOrder(
        name=name or manifest.name,
        message=manifest.message if wishes.message is None else wishes.message,
        origins=(source.named("picked"),),
        action="cherry-pick",
        **fields,
        **ground(state, wishes.on, {manifest.name, name or manifest.name}),
        **made,
    )


def _picked(source: Source, edits: Sequence[str], match: Sequence[str]) -> tuple[int, ...]:
    """The places of the edits, in the package's order."""
    reference = source.manifest.reference
    if not edits and not match:
        raise UsageError(
            "no edit is named",
            hint=f"name some by id or place, or --match TEXT; see `patchmgr show {reference} --edits`",
        )
    found = set(pick(source.requests, edits, of=reference))
    for text in match:
        matched = matching(source.requests, text)
        if not matched:
            raise NotFoundError(f"no edit of {reference} holds {text!r}", hint=f"see `patchmgr show {reference}`")
        found |= set(matched)
    return tuple(sorted(found))
