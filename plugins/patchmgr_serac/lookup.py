"""Which entry a question belongs to, and how likely: one search for training's figures, calibration and answering.

The embedding form searches all keys exactly. The cross-attention form reads the question beside entries: all of them,
or in two stages the nearest ones that the embedding form finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from patchmgr_serac.scope import CrossReader, ScopeEncoder

_BLOCK = 64
"""Questions at a time: 64 against 100,000 keys are 26 MB of distances."""
_SPARE = 8
"""Candidates beyond those wanted whose distance is computed exactly."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Entries of each question, the likeliest first; of equal ones the earlier."""

    probabilities: Float[Tensor, "questions k"]
    """float64"""
    places: Int[Tensor, "questions k"]


@dataclass(frozen=True, eq=False)
class Lookup:
    """Entries, and what compares questions with them."""

    entries: Sequence[tuple[str, str]]
    """(prompt, label) each."""
    encoder: ScopeEncoder | None
    keys: Float[Tensor, "entries width"] | None
    """The encoder's vectors of the entries' memory sides; None where there is no encoder."""
    cross: CrossReader | None
    candidates: int
    """Entries that the cross-attention form reads, where there is an encoder to find them."""

    @cached_property
    def _norms(self) -> Float[Tensor, " entries"]:
        """‖key‖² of every entry, which every search needs."""
        assert self.keys is not None
        return self.keys.square().sum(1)

    def ranked(self, questions: Sequence[str], k: int = 1) -> Ranked:
        """The k likeliest entries of each question; fewer where there are fewer, or fewer candidates."""
        if self.encoder is None or self.keys is None:
            places = torch.arange(len(self.entries)).expand(len(questions), -1)
            return self._read(questions, places, k)
        vectors = self.encoder.vectors(self.encoder.reading.queries(questions))
        if self.cross is None:
            found = nearest_by_distance(vectors, self.keys, k, self._norms)
            return Ranked(torch.exp(-found.distances), found.places)
        return self._read(questions, nearest_by_distance(vectors, self.keys, self.candidates, self._norms).places, k)

    def _read(self, questions: Sequence[str], places: Int[Tensor, "questions among"], k: int) -> Ranked:
        """The k likeliest of some entries, read beside each question."""
        assert self.cross is not None
        rows = self.cross.reading.pairs(
            [self.entries[place] for row in places.tolist() for place in row],
            [question for question in questions for _ in range(places.shape[1])],
        )
        found = self.cross.logits(rows).double().sigmoid().reshape(places.shape)
        in_order = places.argsort(dim=1)
        places, found = places.gather(1, in_order), found.gather(1, in_order)
        top = found.sort(dim=1, descending=True, stable=True).indices[:, :k]
        return Ranked(found.gather(1, top), places.gather(1, top))


@dataclass(frozen=True, eq=False)
class NearestByDistance:
    """The k nearest keys of each query, the nearest first; of equal ones the earlier."""

    distances: Float[Tensor, "queries k"]
    """Squared, float64."""
    places: Int[Tensor, "queries k"]


def nearest_by_distance(
    queries: Float[Tensor, "queries width"],
    keys: Float[Tensor, "keys width"],
    k: int,
    norms: Float[Tensor, " keys"] | None = None,
) -> NearestByDistance:
    """The keys of the least ‖q − key‖²; fewer than k where there are fewer.

    Args:
        queries: what is looked for.
        keys: what is searched.
        k: how many.
        norms: ‖key‖², where they are known.

    A product of matrices finds candidates, some more than wanted since it rounds; their distances decide in float64.

    >>> found = nearest_by_distance(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 3.0]]), 1)
    >>> found.places.tolist(), found.distances.tolist()
    ([[1]], [[1.0]])
    """
    k = min(k, len(keys))
    norms = keys.square().sum(1) if norms is None else norms
    distances, places = [torch.empty(0, k, dtype=torch.float64)], [torch.empty(0, k, dtype=torch.long)]
    for block in queries.split(_BLOCK):
        rough = norms - 2 * (block @ keys.T)
        among = rough.topk(min(k + _SPARE, len(keys)), dim=1, largest=False).indices.sort(dim=1).values
        exact = (keys[among].double() - block.double().unsqueeze(1)).square().sum(2)
        order = exact.sort(dim=1, stable=True).indices[:, :k]
        distances.append(exact.gather(1, order))
        places.append(among.gather(1, order))
    return NearestByDistance(torch.cat(distances), torch.cat(places))
