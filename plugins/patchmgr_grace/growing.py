"""How a codebook grows from one version to the next, whatever its cells hold: GRACE's values, MELO's blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import MemoryConfig, MemoryDraft
from patchmgr.package.memory.operations import Entry
from patchmgr.request import EditRequest
from patchmgr_grace.bundle import CODEBOOK, Codebook, codebook_arrays, read_codebook
from patchmgr_grace.codebook import Cell, Space
from patchmgr_inside.changes import Changes, changes
from patchmgr_inside.place import Place, place_in
from patchmgr_inside.reading import check_fits, ends_of
from patchmgr_keyvalue.sampling import sample_rows

_TEXTS, _TOKENS = 64, 12
"""Texts that a typical distance is measured on, and their tokens."""

Remember = Callable[[Sequence[Cell], str, str, Space], list[Cell]]
"""Cells, id and label of an entry, and the space that holds its key, to the cells with the entry."""
Forget = Callable[[Sequence[Cell], str, Space], list[Cell]]
"""Cells, id of an entry and the space to the cells without it."""


@dataclass(frozen=True)
class Ground:
    """What a codebook grows on."""

    todo: Changes
    before: Codebook | None
    place: Place
    radius: float
    """ε_init."""


@dataclass(frozen=True)
class Grown:
    """A codebook with every entry in a cell; those that are new, or lost an entry, hold nothing yet."""

    ground: Ground
    keys: Mapping[str, Tensor]
    cells: list[Cell]

    def payload(
        self, runtime: str, cells: Sequence[Cell], settings: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> Payload:
        """The next version, its cells filled.

        Args:
            runtime: the plugin that answers.
            cells: as in :attr:`cells`, each with what it holds.
            settings: of the bundle beside layer and radius.
            parameters: of the method; what was used of layer, radius and settings joins them.
        """
        ground = self.ground
        names = [entry.id for entry in ground.todo.entries]
        known = {"layer": ground.place.layer, "radius": ground.radius, **settings}
        draft = MemoryDraft(
            MemoryConfig(runtime=runtime, runtime_version="1", level="hidden", settings=known),
            ground.todo.operations,
            keys=torch.stack([self.keys[name] for name in names]).numpy() if names else None,
            arrays={CODEBOOK: codebook_arrays(cells, names)} if names else {},
            reads=ground.place.reads,
        )
        used = {f"used_{name}": value for name, value in known.items()}
        return Payload(deltas=(), parameters={**parameters, **used}, memory=draft)


def ground_of(
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    context: EditContext,
    *,
    layer: int | None,
    radius: float | None,
    share: float,
) -> Ground:
    """What is to be done, on what the version before left.

    Args:
        loaded: the model that the memory shall lie in.
        requests: what to remember.
        context: holds the version before.
        layer: None: the version before's, or the default one.
        radius: ε_init; None: the version before's, or ``share`` of a typical distance.
        share: of the median distance between keys of the model's own texts.

    Raises:
        MethodError: the layer cannot be worked on, or is another than that of the version before.
        UsageError: an entry to forget is not there.
    """
    todo = changes(requests, context)
    before = None if context.memory is None else read_codebook(context.memory)
    place = place_in(loaded.model, before.layer if before and layer is None else layer)
    return Ground(todo, before, place, radius_of_new(loaded, place, radius, share, before, context.seed))


def grown(loaded: LoadedModel, ground: Ground, context: EditContext, remember: Remember, forget: Forget) -> Grown:
    """The codebook without what went and with what came, one entry after another.

    Raises:
        RequestError: a request is too long for the model.
    """
    keys = dict(ground.before.keys) if ground.before else {}
    cells = list(ground.before.cells) if ground.before else []
    space = Space(ground.radius, rounding_of(ground.place.model.dtype), keys)
    for name in ground.todo.gone:
        cells = forget(cells, name, space)
        del keys[name]
    context.progress(0, 1, "reading keys")
    for entry, key in zip(ground.todo.new, keys_of(loaded, ground.place, ground.todo.new), strict=True):
        keys[entry.id] = key
        cells = remember(cells, entry.id, entry.target.strip(), space)
    return Grown(ground, keys, cells)


def rounding_of(dtype: torch.dtype) -> float:
    """Share of its norm by which a key may be off when it is read again in another batch, in a model of this dtype.

    On the demo base 3 · eps of float32 were seen, where sums round, and .9 · eps of halves, where what is stored does.
    """
    return max(16 * torch.finfo(torch.float32).eps, 4 * torch.finfo(dtype).eps)


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
