"""Deltas as vectors and as maps: inner products, lengths, distances, ranks, and what they make of keys, in float64.

Nothing is multiplied out that is stored as factors; what has a value for each element is read in row blocks.

Glossary: Δ the change of one tensor as its package stores it, before any rounding; ⟨A, B⟩ = tr(AᵀB) and ‖Δ‖² = ⟨Δ, Δ⟩
(Frobenius); a low-rank Δ is U V with U (rows, r) and V (r, columns); k a key, a column of K.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, sqrt

import numpy as np

from patchmgr.base.checkpoint import EDITABLE_DTYPES
from patchmgr.ops.additive import rows_of
from patchmgr.ops.rounding import STORAGE, decode
from patchmgr.package.encodings.contract import Additive, Array, Factors

BLOCK_ELEMENTS = 1 << 20
"""Elements widened to float64 at a time."""


def inner(a: Additive, b: Additive) -> float:
    """⟨A, B⟩ of two deltas of one shape; for factors tr((U_AᵀU_B)(V_B V_Aᵀ)). Not finite where a delta is not.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(a, b)
    with np.errstate(invalid="ignore", over="ignore"):
        if isinstance(a, Factors) and isinstance(b, Factors):
            (u_a, v_a), (u_b, v_b) = _wide(a), _wide(b)
            return float(np.sum((u_a.T @ u_b) * (v_a @ v_b.T)))
        if isinstance(a, Factors):
            a, b = b, a
        if isinstance(b, Factors):
            u, v = _wide(b)
            return sum(float(np.sum(u[rows] * (block @ v.T))) for rows, block in _blocks(a) if block is not None)
        pairs = ((left, right) for (_, left), (_, right) in zip(_blocks(a), _blocks(b), strict=True))
        return sum(float(np.sum(left * right)) for left, right in pairs if left is not None and right is not None)


def norm(delta: Additive) -> float:
    """‖Δ‖; for factors √tr((UᵀU)(V Vᵀ)). Not finite where the delta is not."""
    return _root(inner(delta, delta))


def distance(a: Additive, b: Additive) -> float:
    """‖A − B‖, also where A and B are nearly equal: no difference of squares is taken.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(a, b)
    if isinstance(a, Factors) and isinstance(b, Factors):
        if np.array_equal(a.u, b.u) and np.array_equal(a.v, b.v):
            return 0.0
        return float(np.linalg.norm(_core(Factors(np.hstack([a.u, -b.u]), np.vstack([a.v, b.v])))))
    with np.errstate(invalid="ignore", over="ignore"):
        return _root(sum(_squares(left, right) for (_, left), (_, right) in zip(_blocks(a), _blocks(b), strict=True)))


def cosine(a: Additive, b: Additive) -> float | None:
    """⟨A, B⟩ / (‖A‖ ‖B‖), between −1 and 1; None where one of them is nothing or not finite.

    Raises:
        ValueError: the shapes differ.
    """
    lengths = norm(a) * norm(b)
    found = inner(a, b) / lengths if lengths else float("nan")
    return min(1.0, max(-1.0, found)) if isfinite(found) else None


def singular_values(delta: Factors) -> Array:
    """The singular values of U V that can differ from zero, largest first, float64 (min(rows, r, columns),)."""
    found: Array = np.linalg.svd(_core(delta), compute_uv=False)
    return found[: min(*delta.shape, delta.rank)]


def rank(delta: Additive) -> int | None:
    """How many singular values of factors stand out from the rounding of float64; None for single values."""
    if not isinstance(delta, Factors):
        return None
    u, v = _wide(delta)
    terms = float(np.linalg.norm(u, axis=0) @ np.linalg.norm(v, axis=1))
    floor = max(delta.shape) * np.finfo(np.float64).eps * terms
    return int(np.count_nonzero(singular_values(delta) > floor))


def product(delta: Additive, keys: Array, *, transposed: bool = False) -> Array:
    """Δ K, or Δᵀ K for a weight that is stored input by output.

    Args:
        delta: (rows, columns).
        keys: (columns, n), or (rows, n) where transposed; one key a column.
        transposed: multiply by Δᵀ.

    Returns:
        (rows, n) float64, or (columns, n) where transposed.
    """
    wide = np.asarray(keys, np.float64)
    if isinstance(delta, Factors):
        u, v = _wide(delta)
        return np.asarray(v.T @ (u.T @ wide) if transposed else u @ (v @ wide))
    result = np.zeros((delta.shape[1 if transposed else 0], wide.shape[1]))
    for rows, block in _blocks(delta):
        if block is not None and transposed:
            result += block.T @ wide[rows]
        elif block is not None:
            result[rows] = block @ wide
    return result


def tensor_norm(stored: bytes, dtype: str) -> float | None:
    """‖W‖ of stored bytes; None for a dtype that holds no plain floats, or where it is not finite."""
    if dtype not in EDITABLE_DTYPES:
        return None
    bits, total = np.frombuffer(stored, STORAGE[dtype]), 0.0
    for start in range(0, len(bits), BLOCK_ELEMENTS):
        total += float(np.square(decode(bits[start : start + BLOCK_ELEMENTS], dtype)).sum())
    return sqrt(total) if isfinite(total) else None


def finite(value: float) -> float | None:
    """A measured length, or None where it is no number."""
    return value if isfinite(value) else None


def _blocks(delta: Additive) -> Iterator[tuple[slice, Array | None]]:
    """Row blocks of a delta, the same ones for every delta of its shape; None where nothing is added."""
    rows, columns = delta.shape
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        yield slice(start, stop), rows_of(delta, start, stop)


def _wide(delta: Factors) -> tuple[Array, Array]:
    return delta.u.astype(np.float64), delta.v.astype(np.float64)


def _core(delta: Factors) -> Array:
    """R_U R_Vᵀ of U = Q_U R_U and Vᵀ = Q_V R_V: small, with the singular values of U V."""
    u, v = _wide(delta)
    r_u, r_v = (np.asarray(np.linalg.qr(factor, mode="r")) for factor in (u, v.T))
    return np.asarray(r_u @ r_v.T)


def _squares(left: Array | None, right: Array | None) -> float:
    if left is None or right is None:
        only = right if left is None else left
        return 0.0 if only is None else float(np.square(only).sum())
    return float(np.square(left - right).sum())


def _root(squares: float) -> float:
    return sqrt(max(0.0, squares)) if isfinite(squares) else squares


def _check_shapes(a: Additive, b: Additive) -> None:
    if a.shape != b.shape:
        raise ValueError(f"deltas of {a.shape} and {b.shape} cannot be compared")
