"""Subspace overlap: how far two low-rank changes of one tensor read from and write to the same directions.

The row space of a change is what it reads (or writes, where a weight is stored input by output), the column space the
other one. Two spaces with orthonormal bases Q₁, Q₂ have principal angles whose cosines are the singular values of
Q₁ᵀQ₂ (Björck and Golub, Math. Comp. 27, 1973); φ = ‖Q₁ᵀQ₂‖²/min(r₁, r₂) is their mean square over the smaller space, in
[0, 1] (eq. 4 of LoRA, arXiv:2106.09685). Nothing is multiplied out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from patchmgr.package.encodings.columns import Columns
from patchmgr.package.encodings.contract import Additive, Array, Factors

TOLERANCE = 1e-6
"""Singular values below this share of the largest are rounding of float32 factors."""
MOST_RANK = 2048
"""Changes of a higher rank are not low-rank, and would take long."""


@dataclass(frozen=True)
class Bases:
    """Orthonormal bases of the spaces of a change of rank r, float64."""

    columns: Array
    """(rows, r)"""
    rows: Array
    """(columns, r)"""

    @property
    def rank(self) -> int:
        """The number r of independent directions."""
        return int(self.rows.shape[1])


@dataclass(frozen=True)
class Overlap:
    """How two changes of one tensor lie to each other."""

    tensor: str
    first: str
    second: str
    """References of the packages."""
    ranks: tuple[int, int]
    rows: float
    """φ of the row spaces."""
    rows_cosine: float
    """Of the smallest angle between them; 1: they share a direction."""
    columns: float
    columns_cosine: float

    @property
    def most(self) -> float:
        """The smaller of the two φ: both what is read and what is written must be shared to collide."""
        return min(self.rows, self.columns)


def overlaps(
    changes: Mapping[str, Sequence[tuple[str, Additive]]], among: Collection[str] | None = None
) -> Iterator[Overlap]:
    """Every two low-rank changes of one tensor.

    Args:
        changes: by tensor, the packages that touch it with their changes; those that are not low-rank are passed over.
        among: references of packages; only pairs that one of them is part of. None: all.
    """
    for tensor, touching in changes.items():
        known = [(name, found) for name, change in touching if (found := bases(change)) is not None and found.rank]
        for (first, a), (second, b) in combinations(known, 2):
            if among is not None and not {first, second} & set(among):
                continue
            rows, rows_cosine = angles(a.rows, b.rows)
            columns, columns_cosine = angles(a.columns, b.columns)
            yield Overlap(tensor, first, second, (a.rank, b.rank), rows, rows_cosine, columns, columns_cosine)


def bases(change: Additive) -> Bases | None:
    """The spaces of U V, by QR of the factors and the singular values of R_U R_Vᵀ; None where it is not low-rank."""
    factors = _factors(change)
    if factors is None or factors[0].shape[1] > MOST_RANK:
        return None
    u, v = factors
    q_u, r_u = np.linalg.qr(u)
    q_v, r_v = np.linalg.qr(v.T)
    left, singular, right = np.linalg.svd(r_u @ r_v.T)
    rank = int(np.count_nonzero(singular > TOLERANCE * singular[0])) if singular.size and singular[0] > 0 else 0
    return Bases(q_u @ left[:, :rank], q_v @ right[:rank].T)


def angles(a: Array, b: Array) -> tuple[float, float]:
    """φ, and the largest cosine of a principal angle, of two spaces given by orthonormal bases (d, r).

    >>> angles(np.eye(3)[:, :2], np.eye(3)[:, 1:])
    (0.5, 1.0)
    """
    cosines = np.minimum(np.linalg.svd(a.T @ b, compute_uv=False), 1.0)
    return float(np.square(cosines).sum() / min(a.shape[1], b.shape[1])), float(cosines[0])


def _factors(change: Additive) -> tuple[Array, Array] | None:
    """U (rows, r) and V (r, columns) in float64, of factors and of whole columns."""
    if isinstance(change, Factors):
        return change.u.astype(np.float64), change.v.astype(np.float64)
    if isinstance(change, Columns):
        chosen = np.zeros((len(change.indices), change.shape[1]))
        chosen[np.arange(len(change.indices)), change.indices] = 1.0
        return change.values.astype(np.float64), chosen
    return None
