"""Tensor bytes to float64 and back: one correct rounding to nearest, ties to even, into fp32, fp16 or bf16.

NumPy has no bf16, and casting float64 → float32 → bf16 rounds twice. Here the step to float32 rounds *to odd*: the
discarded part is kept as the last bit, so the next rounding, to a type at least two bits narrower, is the correct one
(Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STORAGE: dict[str, np.dtype[Any]] = {"F32": np.dtype("<u4"), "F16": np.dtype("<u2"), "BF16": np.dtype("<u2")}
"""Unsigned integers of each dtype's width: arithmetic is done on their values, never on their bits."""


def decode(bits: Array, dtype: str) -> Array:
    """The exact float64 values of stored elements."""
    if dtype == "F32":
        return bits.view("<f4").astype(np.float64)
    if dtype == "F16":
        return bits.view("<f2").astype(np.float64)
    with np.errstate(invalid="ignore"):  # a NaN stays one
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def encode(values: Array, dtype: str) -> Array:
    """Stored elements nearest to float64 values, ties to even; beyond the largest finite value they are infinite.

    >>> encode(np.array([1.0 + 2**-8 + 2**-40]), "BF16")[0] == 0x3F81  # through float32 this tie would fall to 0x3F80
    np.True_
    """
    with np.errstate(over="ignore", under="ignore"):
        if dtype == "F32":
            return values.astype("<f4").view("<u4")
        odd = _round_to_odd_float32(values)
        if dtype == "F16":
            return odd.astype("<f2").view("<u2")
    bits = odd.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype("<u2")


def _round_to_odd_float32(values: Array) -> Array:
    nearest = values.astype(np.float32)
    exact = nearest.astype(np.float64)
    bits = nearest.view(np.uint32)
    inexact = exact != values
    away = inexact & (np.abs(exact) > np.abs(values))
    return np.where(inexact, (bits - away) | np.uint32(1), bits).astype(np.uint32).view(np.float32)
