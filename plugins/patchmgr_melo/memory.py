"""A MELO memory at work: prompts within a cluster are answered by a twin of the model that has the cluster's block."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import torch

from patchmgr.errors import FormatError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Memory, Route
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_grace.bundle import Codebook, read_codebook
from patchmgr_grace.codebook import looked_up
from patchmgr_inside.place import place_in
from patchmgr_inside.reading import ends_of, fits
from patchmgr_melo.blocks import Sites, form_of
from patchmgr_melo.equations import block_size, parted

_TWINS = 64
"""Twins that are kept for the next prompt; they share the model's weights."""


def open_inside(bundle: MemoryBundle, loaded: LoadedModel) -> Memory:
    """A bundle that :mod:`patchmgr_melo.edit` made, at work in a model.

    Raises:
        FormatError: it is not whole, or its keys and blocks have another form than the layers.
        MethodError: the model has no such layer.
    """
    book, (layers, rank, scale) = read_codebook(bundle), form_of(bundle)
    sites = Sites(place_in(loaded.model, book.layer), layers, rank, scale)
    sizes = {0 if cell.value is None else len(cell.value) for cell in book.cells}
    width = sites.place.architecture.projections(book.layer)[0].d_in
    if sizes != {block_size(sites.shapes, rank)} or any(len(key) != width for key in book.keys.values()):
        raise FormatError(f"{bundle.reference}: its blocks do not fit layers {list(layers)}", hint="do not use it")
    return MeloMemory(loaded, book, sites)


class MeloMemory:
    """Clusters within a model: what lies in none of them is answered by the model itself."""

    def __init__(self, loaded: LoadedModel, book: Codebook, sites: Sites) -> None:
        self._loaded, self._book, self._sites = loaded, book, sites
        self._blocks = [cell.value for cell in book.cells if cell.value is not None]
        self._centres = torch.stack([cell.key for cell in book.cells]).double().to(loaded.model.device)
        self._twins: OrderedDict[int, LoadedModel] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def route(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes: to the nearest cluster's twin, when its key lies within the cluster."""
        routes: list[Route | None] = [None] * len(prompts)
        reading = self._sites.place
        rows = encode_all(self._loaded.tokenizer, prompts)
        asked = [index for index, row in enumerate(rows) if fits(reading.model, row)]
        if not asked:
            return routes
        with self._one_at_a_time:
            queries = ends_of(reading.model, reading.entry, [rows[index] for index in asked])
            apart, nearest = looked_up(queries, self._centres)
            for row, index in enumerate(asked):
                number, distance = int(nearest[row]), float(apart[row])
                cell = self._book.cells[number]
                if distance > cell.radius:
                    continue
                score = 1.0 - distance / cell.radius if cell.radius else 1.0
                query = queries[row].double().cpu()
                far = {name: float((self._book.keys[name].double() - query).norm()) for name in cell.members}
                members = tuple(sorted(cell.members, key=far.__getitem__))
                routes[index] = Route(prompts[index], members, score, model=self._answering(number))
        return routes

    def _answering(self, number: int) -> LoadedModel:
        """A twin of the model with the block of a cluster, made when it is first asked for."""
        if number not in self._twins:
            sites = replace(self._sites, place=place_in(self._loaded.model, self._book.layer))
            device = self._loaded.model.device
            sites.put_in(parted(self._blocks[number].to(device), sites.shapes, sites.rank))
            self._twins[number] = replace(self._loaded, model=sites.place.model, router=None)
            if len(self._twins) > _TWINS:
                self._twins.popitem(last=False)
        self._twins.move_to_end(number)
        return self._twins[number]
