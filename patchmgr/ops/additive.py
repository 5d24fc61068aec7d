"""Deltas of any encoding as something that is added, alone or several together, read row block by row block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from patchmgr.base.checkpoint import EDITABLE_DTYPES
from patchmgr.ops.rounding import STORAGE, decode
from patchmgr.package.encodings.contract import Additive, Array, Delta, Factors, Replacement


@dataclass(frozen=True)
class Exchanged:
    """What a replacement adds to the values that it was made on, so that it can be compared with sums."""

    encoding: ClassVar[str] = "exchanged"
    replacement: Replacement
    stored: Array
    """uint8: the base's bytes of the tensor."""
    dtype: str
    shape: tuple[int, int]
    """(rows, columns) of the tensor seen as a matrix."""

    def block(self, start: int, stop: int) -> Array | None:
        """After minus before in rows ``start`` to ``stop``, float64; not finite where either is not."""
        kind = STORAGE[self.dtype]
        row_bytes = self.shape[1] * kind.itemsize
        before = self.stored[start * row_bytes : stop * row_bytes]
        after = before.copy()
        self.replacement.replace(after, start * row_bytes)
        if np.array_equal(before, after):
            return None
        with np.errstate(invalid="ignore"):
            found = decode(after.view(kind), self.dtype) - decode(before.view(kind), self.dtype)
        return found.reshape(stop - start, self.shape[1])


@dataclass(frozen=True)
class Total:
    """The sum of several deltas of one tensor, not all of them factors."""

    encoding: ClassVar[str] = "total"
    deltas: tuple[Additive, ...]
    shape: tuple[int, int]
    """(rows, columns) of the tensor seen as a matrix."""

    def block(self, start: int, stop: int) -> Array | None:
        """The sum in rows ``start`` to ``stop``, float64."""
        found = [rows_of(delta, start, stop) for delta in self.deltas]
        there = [block for block in found if block is not None]
        return np.sum(there, axis=0) if there else None


def total(deltas: Sequence[Additive], shape: tuple[int, int]) -> Additive:
    """What several deltas add to a tensor of this shape together; factors stay factors, side by side."""
    if len(deltas) == 1:
        return deltas[0]
    factors = [delta for delta in deltas if isinstance(delta, Factors)]
    if len(factors) < len(deltas):
        return Total(tuple(deltas), shape)
    nothing = Factors(np.zeros((shape[0], 0), np.float32), np.zeros((0, shape[1]), np.float32))
    together = (nothing, *factors)
    return Factors(np.hstack([delta.u for delta in together]), np.vstack([delta.v for delta in together]))


def as_sum(delta: Delta, *, stored: Array | None, dtype: str, shape: tuple[int, int]) -> Additive | None:
    """A delta of any encoding as something that is added; None for bytes that are no numbers, or without the base's.

    Args:
        delta: of one tensor.
        stored: uint8, the base's bytes of the tensor; only a replacement needs them.
        dtype: safetensors name of the tensor's dtype.
        shape: (rows, columns) of the tensor seen as a matrix.
    """
    if not isinstance(delta, Replacement):
        return delta
    return None if stored is None or dtype not in EDITABLE_DTYPES else Exchanged(delta, stored, dtype, shape)


def rows_of(delta: Additive, start: int, stop: int) -> Array | None:
    """Rows ``start`` to ``stop`` of a delta, float64 (stop − start, columns); None where nothing is added."""
    if not isinstance(delta, Factors):
        return delta.block(start, stop)
    return np.asarray(delta.u[start:stop].astype(np.float64) @ delta.v.astype(np.float64))
