"""A GRACE memory at work: prompts within a ball are answered by a twin of the model that gives the ball's value."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from patchmgr.errors import FormatError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Memory, Route
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_grace.bundle import Codebook, read_codebook
from patchmgr_grace.codebook import Cell, looked_up
from patchmgr_grace.training import exchanged
from patchmgr_inside.ends import PromptEnds
from patchmgr_inside.place import Place, place_in
from patchmgr_inside.reading import ends_of, fits


def open_inside(bundle: MemoryBundle, loaded: LoadedModel) -> Memory:
    """A bundle that :mod:`patchmgr_grace.edit` made, at work in a model.

    Raises:
        FormatError: it is not whole, or its keys or values have another width than the layer.
        MethodError: the model has no such layer.
    """
    book = read_codebook(bundle)
    reading, answering = place_in(loaded.model, book.layer), place_in(loaded.model, book.layer)
    cell, projections = book.cells[0], answering.architecture.projections(book.layer)
    widths = (len(cell.key), 0 if cell.value is None else len(cell.value))
    if widths != (projections[0].d_in, answering.projection.d_out):
        raise FormatError(f"{bundle.reference}: its codebook does not fit layer {book.layer}", hint="do not use it")
    return GraceMemory(loaded, book, reading, answering)


class GraceMemory:
    """A codebook within a model: what lies in none of its balls is deferred to the model itself."""

    def __init__(self, loaded: LoadedModel, book: Codebook, reading: Place, answering: Place) -> None:
        self._tokenizer, self._reading, self._cells = loaded.tokenizer, reading, book.cells
        device = loaded.model.device
        self._keys = torch.stack([cell.key for cell in book.cells]).double().to(device)
        self._radii = torch.tensor([cell.radius for cell in book.cells], dtype=torch.float64, device=device)
        self._entry_keys = book.keys
        self._one_at_a_time = threading.Lock()
        values = torch.stack([cell.value for cell in book.cells if cell.value is not None])
        exchange = _Exchange(answering, self._keys, values)
        self._answering = replace(loaded, model=answering.model, router=None, prompt_ends=exchange.ends.at)

    def route(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes: to the twin, when the key at its last token lies within a ball."""
        routes: list[Route | None] = [None] * len(prompts)
        rows = encode_all(self._tokenizer, prompts)
        asked = [index for index, row in enumerate(rows) if fits(self._reading.model, row)]
        if not asked:
            return routes
        with self._one_at_a_time:
            queries = ends_of(self._reading.model, self._reading.entry, [rows[index] for index in asked])
        apart, nearest = looked_up(queries, self._keys)
        for row, index in enumerate(asked):
            number = int(nearest[row])
            radius = float(self._radii[number])
            if float(apart[row]) <= radius:
                score = 1.0 - float(apart[row]) / radius if radius else 1.0
                members = self._by_distance(self._cells[number], queries[row])
                routes[index] = Route(prompts[index], members, score, model=self._answering)
        return routes

    def _by_distance(self, cell: Cell, query: Tensor) -> tuple[str, ...]:
        """The entries of a cell, the nearest first."""
        query = query.double().cpu()
        return tuple(sorted(cell.members, key=lambda name: float((self._entry_keys[name].double() - query).norm())))


class _Exchange:
    """Hooks on a twin: where a prompt ends, the MLP gives the value of the nearest key.

    No other place is looked at, in no pass, so the tokens of the answer are the model's own.
    """

    def __init__(self, place: Place, keys: Tensor, values: Tensor) -> None:
        self.ends = PromptEnds()
        self._keys, self._values = keys, values.to(keys.device)
        self._now = threading.local()
        place.model.register_forward_pre_hook(self._begin, with_kwargs=True)
        place.entry.register_forward_pre_hook(self._look)
        place.projection.module.register_forward_hook(self._exchange)

    def _begin(self, _module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._now.n_rows, self._now.places = self.ends.in_pass(arguments, options)

    def _look(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        rows, columns = (each.to(inputs[0].device) for each in self._now.places)
        if len(rows):
            queries = inputs[0].reshape(self._now.n_rows, -1, inputs[0].shape[-1])[rows, columns]
            self._now.nearest = looked_up(queries, self._keys.to(queries.device))[1]

    def _exchange(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if not len(self._now.places[0]):
            return output
        values = self._values[self._now.nearest.to(self._values.device)]
        return exchanged(output, self._now.n_rows, self._now.places, values)
