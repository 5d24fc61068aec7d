"""A WISE memory at work: prompts that stir a side memory are answered by a twin of the model that has it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Memory, Route
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_inside.place import place_in
from patchmgr_inside.reading import fits, inputs_at
from patchmgr_wise.equations import stir
from patchmgr_wise.shards import SideMemories, read_shards, settings_of


def open_inside(bundle: MemoryBundle, loaded: LoadedModel) -> Memory:
    """A bundle that :mod:`patchmgr_wise.edit` made, at work in a model.

    Raises:
        FormatError: it is not whole, or its shards are of another matrix.
        MethodError: the model has no such layer.
    """
    projection = place_in(loaded.model, settings_of(bundle).layer).projection
    return WiseMemory(loaded, read_shards(bundle, (projection.d_out, projection.d_in)))


class WiseMemory:
    """Side memories within a model; what stirs none of them goes to the main memory, the model itself."""

    def __init__(self, loaded: LoadedModel, held: SideMemories) -> None:
        settings = held.settings
        self._tokenizer, self._thresholds, self._pool = loaded.tokenizer, settings.thresholds, settings.pool
        self._reading = place_in(loaded.model, settings.layer)
        device = self._reading.projection.matrix().device
        self._sides = [(names, added.to(device)) for names, added in held.sides]
        self._answering = [_answering(loaded, settings.layer, added) for _, added in self._sides]
        self._one_at_a_time = threading.Lock()

    def route(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes: to the side memory that it stirs most, if that is enough for that one."""
        routes: list[Route | None] = [None] * len(prompts)
        rows = encode_all(self._tokenizer, prompts)
        asked = [index for index, row in enumerate(rows) if fits(self._reading.model, row)]
        with self._one_at_a_time:
            read = inputs_at(self._reading.model, self._reading.projection.module, [rows[index] for index in asked])
        for index, A in zip(asked, read, strict=True):
            stirs = [float(stir(A.float(), added, self._pool)) for _, added in self._sides]
            most = stirs.index(max(stirs))
            if stirs[most] >= self._thresholds[most]:
                routes[index] = Route(prompts[index], self._sides[most][0], stirs[most], model=self._answering[most])
        return routes


def _answering(loaded: LoadedModel, layer: int, added: Float[Tensor, "d_out d_in"]) -> LoadedModel:
    """A twin of the model whose projection gives W' k = W k + Δ k."""
    place = place_in(loaded.model, layer)

    def add(_module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        side: Tensor = inputs[0].float() @ added.to(inputs[0].device).T
        return side.add_(output).to(output.dtype)

    place.projection.module.register_forward_hook(add)
    return replace(loaded, model=place.model, router=None)
