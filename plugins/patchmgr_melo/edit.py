"""The next version of a MELO memory: forgotten entries go, new keys find their clusters, new blocks are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from patchmgr.errors import MethodError
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr.package.memory.operations import Entry
from patchmgr.request import EditRequest
from patchmgr_grace.codebook import Cell, Space, forgotten
from patchmgr_grace.growing import ground_of, grown
from patchmgr_inside.answers import answered
from patchmgr_inside.place import Place
from patchmgr_melo.blocks import Sites, default_layers, form_of, trained_block
from patchmgr_melo.equations import clustered, joined
from patchmgr_melo.parameters import MeloParameters


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: MeloParameters, context: EditContext
) -> Payload:
    """Remember some requests beside what the version before does.

    Args:
        loaded: the model that the memory shall lie in; it is left as it is.
        requests: what to remember, one after another.
        parameters: of the method.
        context: holds the version before.

    Raises:
        MethodError: a layer cannot be worked on, or blocks are of another form than those of the version before.
        RequestError: a request is too long for the model.
        UsageError: an entry to forget is not there.
    """
    ground = ground_of(
        loaded, requests, context, layer=parameters.layer, radius=parameters.radius, share=parameters.radius_share
    )
    sites = _sites(ground.place, parameters, context.memory)
    book = grown(loaded, ground, context, clustered, _without)
    cells = _with_blocks(loaded, sites, book.cells, ground.todo.entries, parameters, context)
    return book.payload("melo", cells, _form(sites), parameters.model_dump(mode="json"))


def _form(sites: Sites) -> dict[str, object]:
    return {"layers": list(sites.layers), "rank": sites.rank, "scale": sites.scale}


def _sites(place: Place, parameters: MeloParameters, before: MemoryBundle | None) -> Sites:
    """The projections that blocks work on and their form: as given, as they were, or the default ones."""
    if before is None:
        layers = parameters.layers or default_layers(place.layer, len(place.architecture.blocks))
        return Sites(place, tuple(sorted(set(layers))), parameters.rank or 2, parameters.scale or 1.0)
    layers, rank, scale = form_of(before)
    for name, given, known in (
        ("layers", parameters.layers and tuple(sorted(set(parameters.layers))), layers),
        ("rank", parameters.rank, rank),
        ("scale", parameters.scale, scale),
    ):
        if given is not None and given != known:
            raise MethodError(
                f"blocks of the version before have {name} {known}, and these would have {given}",
                hint=f"leave {name} out, or begin a new package",
            )
    return Sites(place, layers, rank, scale)


def _without(cells: Sequence[Cell], name: str, space: Space) -> list[Cell]:
    """The clusters without an entry; the blocks of those that shared a block with it are to be trained anew."""
    mates = {mate for cell in cells if name in cell.members for mate in cell.members}
    left = forgotten(cells, name, space)
    return [replace(cell, value=None) if mates.intersection(cell.members) else cell for cell in left]


def _with_blocks(
    loaded: LoadedModel,
    sites: Sites,
    cells: Sequence[Cell],
    entries: Sequence[Entry],
    parameters: MeloParameters,
    context: EditContext,
) -> list[Cell]:
    """The clusters, those without a block trained on all their members."""
    of_id = {entry.id: entry for entry in entries}
    found = list(cells)
    waiting = [number for number, cell in enumerate(cells) if cell.value is None]
    for turn, number in enumerate(waiting):
        members = [of_id[name] for name in cells[number].members]
        rows = answered(loaded, [(each.prompt, each.target) for each in members])

        def advance(done: int, total: int, turn: int = turn) -> None:
            context.progress(turn * total + done, len(waiting) * total, "training blocks")

        pairs = trained_block(sites, rows, parameters, context.seed, advance)
        found[number] = replace(found[number], value=joined(pairs))
    return found
