"""Exact search for the nearest keys: products in float32 find the candidates, cosines in float64 put them in order.

A product of matrices adds up in an order that hangs on its shape, the machine and the number of threads, so cosines
from it differ in the last bits, and equal keys may seem to differ. What is found must not: every key whose float32
cosine could belong to the nearest within the rounding error is a candidate, and each is compared by itself in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 32
"""Queries at a time: 32 against 100,000 keys are 13 MB of cosines."""
_SPARE = 15
"""Candidates beyond the k nearest that are looked at before all keys are."""
_CANDIDATES = 4096
"""Candidates at a time that are widened to float64."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The k nearest keys of each query, the nearest first; of equal ones the earlier."""

    cosines: Float[Tensor, "queries k"]
    """float64"""
    places: Int[Tensor, "queries k"]


def nearest(queries: Float[Tensor, "queries width"], keys: Float[Tensor, "keys width"], k: int) -> Nearest:
    """The nearest keys by cosine; fewer than k where there are fewer. Neighbours of a query in a batch change nothing.

    Args:
        queries: of length 1, float32.
        keys: of length 1, float32, contiguous, so that they are read in place.
        k: how many.

    >>> found = nearest(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.8, 0.6]]), 1)
    >>> found.places.tolist(), round(found.cosines.item(), 1)
    ([[1]], 0.8)
    """
    k = min(k, len(keys))
    cosines = torch.empty(len(queries), k, dtype=torch.float64)
    places = torch.empty(len(queries), k, dtype=torch.long)
    if k == 0:
        return Nearest(cosines, places)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        rough = (keys @ block.T).T.contiguous()
        top = rough.topk(min(k + _SPARE, len(keys)), dim=1)
        least = top.values[:, k - 1] - _slack(keys.shape[1])
        rows = slice(start, start + len(block))
        cosines[rows], places[rows] = _in_order(block, keys, top.indices, k)
        if top.values.shape[1] < len(keys):
            for row in (top.values[:, -1] >= least).nonzero()[:, 0].tolist():  # there may be more candidates
                among = (rough[row] >= least[row]).nonzero().T
                cosines[start + row], places[start + row] = _in_order(block[row : row + 1], keys, among, k)
    return Nearest(cosines, places)


def _in_order(queries: Tensor, keys: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of some candidates of each query by cosines in float64, and where they are."""
    among = among.sort(dim=1).values
    wide = queries.double().unsqueeze(1)
    # each is summed alike, so that equal keys have equal cosines
    exact = torch.cat([(keys[some].double() * wide).sum(dim=2) for some in among.split(_CANDIDATES, dim=1)], dim=1)
    order = exact.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return exact.gather(1, order), among.gather(1, order)


def _slack(width: int) -> float:
    """By how much two float32 cosines can be out together, whatever the order of the sum: 2γₙ, with n the width."""
    return 2.0 * width * 2.0**-24 * 1.01
