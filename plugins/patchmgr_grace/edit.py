"""The next version of a GRACE memory: forgotten entries go, new keys find their cells, and new values are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import MemoryConfig, MemoryDraft
from patchmgr.package.memory.operations import Entry
from patchmgr.request import EditRequest
from patchmgr_finetune.examples import Example, examples
from patchmgr_grace.bundle import CODEBOOK, Codebook, codebook_arrays, read_codebook
from patchmgr_grace.codebook import Cell, forgotten, remembered
from patchmgr_grace.parameters import GraceParameters
from patchmgr_grace.training import trained_values
from patchmgr_inside.changes import changes
from patchmgr_inside.place import Place, place_in
from patchmgr_inside.reading import check_fits, ends_of
from patchmgr_keyvalue.sampling import sample_rows

_TEXTS, _TOKENS = 64, 12
"""Texts that a typical distance is measured on, and their tokens."""


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
    todo = changes(requests, context)
    before = None if context.memory is None else read_codebook(context.memory)
    place = place_in(loaded.model, before.layer if before and parameters.layer is None else parameters.layer)
    radius = radius_of_new(loaded, place, parameters.radius, parameters.radius_share, before, context.seed)
    keys = dict(before.keys) if before else {}
    cells = list(before.cells) if before else []
    for name in todo.gone:
        cells = forgotten(cells, name, keys, radius)
        del keys[name]
    context.progress(0, 1, "reading keys")
    for entry, key in zip(todo.new, keys_of(loaded, place, todo.new), strict=True):
        keys[entry.id] = key
        cells = remembered(cells, key, entry.target.strip(), entry.id, radius)
    cells = _with_values(loaded, place, cells, todo.entries, parameters, context)
    names = [entry.id for entry in todo.entries]
    settings = {"layer": place.layer, "radius": radius}
    draft = MemoryDraft(
        MemoryConfig(runtime="grace", runtime_version="1", level="hidden", settings=settings),
        todo.operations,
        keys=torch.stack([keys[name] for name in names]).numpy() if names else None,
        arrays={CODEBOOK: codebook_arrays(cells, names)} if names else {},
        reads=place.reads,
    )
    used = {**parameters.model_dump(mode="json"), "used_layer": place.layer, "used_radius": radius}
    return Payload(deltas=(), parameters=used, memory=draft)


def radius_of_new(
    loaded: LoadedModel, place: Place, radius: float | None, share: float, before: Codebook | None, seed: int
) -> float:
    """ε_init: as given, as it was, or a share of the median distance between keys of the model's own texts.

    Raises:
        MethodError: the version before lies in another layer.
    """
    if before is not None and before.layer != place.layer:
        raise MethodError(
            f"the version before works in layer {before.layer}, and this would in {place.layer}",
            hint="leave layer out, or begin a new package",
        )
    if radius is not None:
        return radius
    if before is not None:
        return before.radius
    generator = torch.Generator().manual_seed(seed)
    sampled = sample_rows(place.model, loaded.tokenizer, _TEXTS, _TOKENS, generator)
    keys = ends_of(place.model, place.entry, sampled.ids.tolist()).double().cpu()
    apart = torch.pdist(keys)
    return float(share * apart.median())


def keys_of(loaded: LoadedModel, place: Place, entries: Sequence[Entry]) -> list[Float[Tensor, " width"]]:
    """The key of each entry's prompt, float32, on the CPU.

    Raises:
        RequestError: a prompt is too long for the model.
    """
    prompts = [entry.prompt for entry in entries]
    rows = encode_all(loaded.tokenizer, prompts)
    check_fits(place.model, rows, prompts)
    return [key.float().cpu().clone() for key in ends_of(place.model, place.entry, rows)] if rows else []


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
        _rows(loaded, [entry for _, entry in members]),
        [open_cells.index(number) for number, _ in members],
        parameters,
        torch.Generator().manual_seed(context.seed),
        lambda done, total: context.progress(done, total, "training values"),
    )
    found = list(cells)
    for number, value in zip(open_cells, values, strict=True):
        found[number] = replace(found[number], value=value.float().cpu().clone())
    return found


def _rows(loaded: LoadedModel, entries: Sequence[Entry]) -> tuple[Example, ...]:
    requests = [EditRequest(prompt=entry.prompt, target_new=entry.target) for entry in entries]
    return examples(loaded, requests)
