"""MELO's rules and its dynamic LoRA as pure functions (arXiv:2312.11795).

Glossary: a *cluster* is a cell of GRACE's codebook whose key is a *centre*, the mean of its members' keys, and whose
value is a LoRA *block*: for each of some projections A (rank, d_in) and B (d_out, rank). All blocks side by side are
one LoRA of rank · clusters; the *index* of a row's cluster says which rows of A and columns of B it is answered with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr_grace.codebook import Cell, Space, remembered

Shape = tuple[int, int]
"""(d_out, d_in) of a projection."""
Pair = tuple[Tensor, Tensor]
"""A (rank, d_in) and B (d_out, rank)."""


def clustered(cells: Sequence[Cell], entry: str, label: str, space: Space) -> list[Cell]:
    """The clusters after one entry more: GRACE's rules to add, split and expand, with centres that move.

    A cluster that expands is centred on the mean of its members' keys, as wide as the farthest of them and at least as
    a new one.

    Args:
        cells: before.
        entry: its id.
        label: what it says.
        space: holds its key.
    """
    joined_by = remembered(cells, entry, label, space)
    return [recentred(cell, space) if entry in cell.members[1:] else cell for cell in joined_by]


def recentred(cell: Cell, space: Space) -> Cell:
    """A cluster around the mean of its members' keys, R = max(R_init, the distance of the farthest).

    A hair more than that distance, since a key that is read again differs in its last bits.
    """
    held = torch.stack([space.keys[name] for name in cell.members]).double()
    centre = held.mean(dim=0).to(cell.key)
    reaches = zip(space.apart(centre, cell.members), map(space.margin, cell.members), strict=True)
    return replace(cell, key=centre, radius=max(space.init, *(distance + margin for distance, margin in reaches)))


def block_size(shapes: Sequence[Shape], rank: int) -> int:
    """Numbers in a block.

    >>> block_size([(4, 6), (4, 6)], 2)
    40
    """
    return sum(rank * (d_out + d_in) for d_out, d_in in shapes)


def new_block(shapes: Sequence[Shape], rank: int, generator: torch.Generator) -> list[Pair]:
    """A drawn evenly from ±1/√d_in, B zero, float32: it adds nothing until it is trained (arXiv:2106.09685)."""
    found = []
    for d_out, d_in in shapes:
        A = (torch.rand(rank, d_in, generator=generator) * 2 - 1) / d_in**0.5
        found.append((A, torch.zeros(d_out, rank)))
    return found


def joined(pairs: Sequence[Pair]) -> Float[Tensor, " value"]:
    """A block as it is stored: A and then B of each projection, row by row."""
    return torch.cat([part.detach().float().cpu().reshape(-1) for pair in pairs for part in pair])


def parted(value: Float[Tensor, " value"], shapes: Sequence[Shape], rank: int) -> list[Pair]:
    """What :func:`joined` put together."""
    found, start = [], 0
    for d_out, d_in in shapes:
        middle, end = start + rank * d_in, start + rank * (d_in + d_out)
        found.append((value[start:middle].reshape(rank, d_in), value[middle:end].reshape(d_out, rank)))
        start = end
    return found


def with_block(
    given: Float[Tensor, "*batch d_out"],
    inputs: Float[Tensor, "*batch d_in"],
    A: Float[Tensor, "rank d_in"],
    B: Float[Tensor, "d_out rank"],
    scale: float,
) -> Float[Tensor, "*batch d_out"]:
    """W₀x + s · B[:, i] A[i, :] x for a block i of the dynamic LoRA, summed in float32 at least."""
    wide = inputs.to(torch.promote_types(inputs.dtype, A.dtype))
    added: Tensor = (wide @ A.to(wide).T) @ B.to(wide).T
    return (given + scale * added).to(given.dtype)
