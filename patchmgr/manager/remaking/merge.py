"""Merging: one package from several, edited again together or summed as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from patchmgr.errors import UsageError
from patchmgr.manager.edit import EditPreview, EditResult, check_edit, edit
from patchmgr.manager.order import EditOrder
from patchmgr.manager.remaking.alike import made_alike
from patchmgr.manager.remaking.facts import Together, together
from patchmgr.manager.remaking.ground import ground
from patchmgr.manager.remaking.rebase import other_base
from patchmgr.manager.remaking.source import Source, Wishes, open_source
from patchmgr.manager.remaking.summing import add_up, check_sum, sum_order
from patchmgr.manager.states import read_state
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

How = Literal["joint", "sum"]


@dataclass(frozen=True)
class Merged:
    """What a merge came to."""

    sources: tuple[str, ...]
    edit: EditResult
    repeated: tuple[EditRequest, ...]
    """Edits that several packages had; they are in the new one once."""
    overruled: tuple[EditRequest, ...]
    """Edits that gave way to those of the preferred package."""


@dataclass(frozen=True)
class MergePreview:
    """What a merge would make."""

    sources: tuple[str, ...]
    edit: EditPreview
    repeated: tuple[EditRequest, ...]
    overruled: tuple[EditRequest, ...]


def merge(
    manager: Manager,
    model: str,
    name: str,
    references: Sequence[str],
    wishes: Wishes,
    *,
    how: How = "joint",
    prefer: str | None = None,
    measure: bool = True,
) -> Merged:
    """Make one package from several; the model stays as it is.

    ``joint``: all their edits are made together by one method, on the present state without the packages, or on the
    pristine base. ``sum``: their deltas side by side, so that the new package alone gives exactly the bytes that they
    give together, whatever else is in a stack; all of them were made on the pristine base of the model.

    Args:
        manager: the registry.
        model: on whose state.
        name: of the new package.
        references: two versions or more; those in folders are taken into the registry first.
        wishes: what is not as all of them were made.
        how: edit again, or sum.
        prefer: the version whose edits win where packages contradict each other; one of ``references``.
        measure: False: a sum is stored without scores, and no model is loaded.

    Raises:
        NotFoundError: no such model or version, or no plugin brings the method.
        RequestError: an author withheld the edits, or the method cannot use one of them.
        ConflictError: packages contradict each other, or cannot be summed; names the facts or the reason.
        BaseMismatchError: a package to be summed was made for another base.
        UsageError: the packages were made in different ways, and it is not said which to take.
        GateError: a requirement is not met; nothing is stored.
        MethodError: the method cannot run on this model, or memory ran out.
    """
    sources, all_edits, order = _merging(manager, model, name, references, wishes, how, prefer, look=False)
    if how == "sum":
        made = add_up(manager, model, sources, order, measure=measure)
    elif measure:
        made = edit(manager, model, order)
    else:
        raise UsageError("what is edited together is measured", hint="--no-measure goes with --how sum")
    names = tuple(source.manifest.reference for source in sources)
    return Merged(names, made, all_edits.repeated, all_edits.overruled)


def check_merge(
    manager: Manager,
    model: str,
    name: str,
    references: Sequence[str],
    wishes: Wishes,
    *,
    how: How = "joint",
    prefer: str | None = None,
) -> MergePreview:
    """Everything that :func:`merge` checks before it loads the model."""
    sources, all_edits, order = _merging(manager, model, name, references, wishes, how, prefer, look=True)
    preview = check_sum(manager, model, sources, order) if how == "sum" else check_edit(manager, model, order)
    names = tuple(source.manifest.reference for source in sources)
    return MergePreview(names, preview, all_edits.repeated, all_edits.overruled)


def _merging(
    manager: Manager,
    model: str,
    name: str,
    references: Sequence[str],
    wishes: Wishes,
    how: How,
    prefer: str | None,
    *,
    look: bool,
) -> tuple[tuple[Source, ...], Together, EditOrder]:
    """The versions, their edits together, and the order."""
    sources = tuple(open_source(manager, reference, done="merged", look=look) for reference in references)
    digests = [source.manifest.digest for source in sources]
    if len(set(digests)) < 2 or len(set(digests)) < len(digests):
        raise UsageError("a merge takes two packages or more, each once", hint="name different versions")
    all_edits = together(sources, prefer=_preferred(manager, sources, prefer, how, look=look))
    if how == "sum":
        return sources, all_edits, sum_order(name, sources, all_edits, wishes, message=merge_message(sources))
    state = read_state(manager, model)
    elsewhere = any(other_base(state, source.manifest) for source in sources)
    order = EditOrder(
        name=name,
        requests=all_edits.requests,
        message=merge_message(sources) if wishes.message is None else wishes.message,
        origins=tuple(source.named("merged") for source in sources),
        action="merge",
        anew=True,
        **ground(state, wishes.on, {name, *(source.manifest.name for source in sources)}),
        **made_alike(manager, sources, wishes, other_base=elsewhere),
    )
    return sources, all_edits, order


def _preferred(manager: Manager, sources: Sequence[Source], prefer: str | None, how: How, *, look: bool) -> str | None:
    """The digest of the preferred version."""
    if prefer is None:
        return None
    if how == "sum":
        raise UsageError("no edit can be taken out of a sum", hint="--prefer goes with --how joint")
    digest = open_source(manager, prefer, done="merged", look=look).manifest.digest
    if all(source.manifest.digest != digest for source in sources):
        raise UsageError(f"{prefer!r} is none of the packages to merge", hint="give one of them to --prefer")
    return digest


def merge_message(sources: Sequence[Source]) -> str:
    """What a merge is called where nobody says why."""
    return f"merge of {', '.join(source.manifest.reference for source in sources)}"
