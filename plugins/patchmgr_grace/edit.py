"""The next version of a GRACE memory: forgotten entries go, new keys find their cells, and new values are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from patchmgr.canonical import sha256_hex
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.package.memory.operations import Entry
from patchmgr.request import EditRequest
from patchmgr_grace.codebook import Cell, forgotten, remembered
from patchmgr_grace.growing import ground_of, grown
from patchmgr_grace.parameters import GraceParameters
from patchmgr_grace.training import trained_values
from patchmgr_inside.answers import answered
from patchmgr_inside.place import Place


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: GraceParameters, context: EditContext
) -> Payload:
    """Remember some requests beside what the version before does.

    Args:
        loaded: the model that the memory shall lie in; it is left as it is.
        requests: what to remember, one after another.
        parameters: of the method.
        context: holds the version before.

    Raises:
        MethodError: the layer cannot be worked on, or is another than that of the version before.
        RequestError: a request is too long for the model.
        UsageError: an entry to forget is not there.
    """
    ground = ground_of(
        loaded, requests, context, layer=parameters.layer, radius=parameters.radius, share=parameters.radius_share
    )
    book = grown(loaded, ground, context, remembered, forgotten)
    cells = _with_values(loaded, ground.place, book.cells, ground.todo.entries, parameters, context)
    return book.payload("grace", cells, {}, parameters.model_dump(mode="json"))


def _with_values(
    loaded: LoadedModel,
    place: Place,
    cells: Sequence[Cell],
    entries: Sequence[Entry],
    parameters: GraceParameters,
    context: EditContext,
) -> list[Cell]:
    """The cells, those without a value trained on all their members."""
    open_cells = [number for number, cell in enumerate(cells) if cell.value is None]
    if not open_cells:
        return list(cells)
    of_id = {entry.id: entry for entry in entries}
    members = [(number, of_id[name]) for number in open_cells for name in cells[number].members]
    values = trained_values(
        place,
        answered(loaded, [(entry.prompt, entry.target) for _, entry in members]),
        [open_cells.index(number) for number, _ in members],
        parameters,
        [_seed(context.seed, cells[number]) for number in open_cells],
        lambda done, total: context.progress(done, total, "training values"),
    )
    found = list(cells)
    for number, value in zip(open_cells, values, strict=True):
        found[number] = replace(found[number], value=value.float().cpu().clone())
    return found


def _seed(seed: int, cell: Cell) -> int:
    """What a cell's cold start is drawn by: the edit's seed and the cell's first entry, whatever else is learned."""
    return int(sha256_hex(f"{seed}/{cell.members[0]}".encode())[:15], 16)
