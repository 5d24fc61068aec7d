"""The change of one weight as the two factors of a LoRA adapter: exactly, or as near as a rank allows.

Glossary: Δ the change as the checkpoint stores the weight; U (rows, r) and V (r, columns) its factors; A (r, d_in) and
B (d_out, r) those of LoRA, whose change is B A for a weight (d_out, d_in) and (B A)ᵀ for one that lies (d_in, d_out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from patchmgr.ops.additive import as_sum, rows_of, total
from patchmgr.ops.deltas import distance, norm
from patchmgr.ops.rounding import decode, encode
from patchmgr.package.encodings.concatenated import as_factors
from patchmgr.package.encodings.contract import Additive, Array, Delta, Factors, Replacement

EXACT_RANK_LIMIT = 512
"""Single values are exact as factors of this rank at most; vLLM loads no higher one."""


@dataclass(frozen=True)
class LowRankChange:
    """The change of one weight, of low rank."""

    factors: Factors
    error: float = 0.0
    """‖Δ − UV‖ / ‖Δ‖ (Frobenius); 0 where the factors are the package's own."""


def exact_change(deltas: Sequence[Delta], shape: tuple[int, int]) -> LowRankChange | str:
    """The deltas side by side, no number of them rounded; or why they are not of low rank.

    Args:
        deltas: of one tensor.
        shape: (rows, columns) of the tensor.
    """
    factors = [_empty(shape)]
    for delta in deltas:
        if isinstance(delta, Replacement):
            return f"its bytes are replaced ({delta.encoding}), which is no sum"
        if isinstance(delta, Factors):
            factors.append(delta)
            continue
        rank = _picking_rank(delta)
        if rank > EXACT_RANK_LIMIT:
            return f"its change ({delta.encoding}) is of rank {rank}, over {EXACT_RANK_LIMIT}"
        factors.append(as_factors(delta))
    joined = Factors(np.hstack([each.u for each in factors]), np.vstack([each.v for each in factors]))
    return LowRankChange(joined)


def nearest_change(
    deltas: Sequence[Delta], shape: tuple[int, int], rank: int, *, stored: Array, dtype: str
) -> LowRankChange:
    """The factors of a rank that are nearest to Δ: its first singular vectors (Eckart and Young), each scaled by √σ.

    Args:
        deltas: of one tensor.
        shape: (rows, columns) of the tensor.
        rank: of the result, at most.
        stored: uint8, the base's bytes of the tensor; a replacement is taken as what it adds to their values.
        dtype: safetensors name of the tensor's dtype.
    """
    summands = [as_sum(delta, stored=stored, dtype=dtype, shape=shape) for delta in deltas]
    whole = total([summand for summand in summands if summand is not None], shape)
    left, sigma, right = _svd(whole)
    kept = int(np.count_nonzero(sigma[:rank]))
    root = np.sqrt(sigma[:kept])
    found = Factors((left[:, :kept] * root).astype(np.float32), (root[:, None] * right[:kept]).astype(np.float32))
    return LowRankChange(found, _error(whole, found))


def rounded_change(change: LowRankChange, deltas: Sequence[Delta], dtype: str, *, shape: tuple[int, int],
                   stored: Array, tensor_dtype: str) -> LowRankChange:  # fmt: skip
    """The same with both factors rounded to a narrower dtype, and the error that they then have."""
    summands = [as_sum(delta, stored=stored, dtype=tensor_dtype, shape=shape) for delta in deltas]
    whole = total([summand for summand in summands if summand is not None], shape)
    u, v = (_rounded(factor, dtype) for factor in (change.factors.u, change.factors.v))
    return LowRankChange(Factors(u, v), _error(whole, Factors(u, v)))


def lora_factors(change: LowRankChange, rank: int, *, stored_in_out: bool) -> tuple[Array, Array]:
    """A (rank, d_in) and B (d_out, rank), float32, filled up with zeros; the scale of LoRA must be 1."""
    u, v = change.factors.u, change.factors.v
    b, a = (v.T, u.T) if stored_in_out else (u, v)
    missing = rank - a.shape[0]
    return np.pad(a, ((0, missing), (0, 0))), np.pad(b, ((0, 0), (0, missing)))


def stored_factors(a: Array, b: Array, scale: float, *, stored_in_out: bool) -> Factors:
    """U and V of the change ``scale`` · B A as the checkpoint stores the weight, the scale multiplied into B.

    One rounding to float32, and none where the scale is a power of two.
    """
    scaled = (b.astype(np.float64) * scale).astype(np.float32)
    u, v = (a.T, scaled.T) if stored_in_out else (scaled, a)
    return Factors(np.ascontiguousarray(u), np.ascontiguousarray(v))


def _empty(shape: tuple[int, int]) -> Factors:
    return Factors(np.zeros((shape[0], 0), np.float32), np.zeros((0, shape[1]), np.float32))


def _picking_rank(delta: Additive) -> int:
    """The rank that picking touched rows or columns gives."""
    rows, columns = delta.shape
    touched_rows, touched_columns = np.zeros(rows, bool), np.zeros(columns, bool)
    step = max(1, (1 << 20) // max(1, columns))
    for start in range(0, rows, step):
        block = rows_of(delta, start, min(start + step, rows))
        if block is not None:
            touched_rows[start : start + step] = block.any(axis=1)
            touched_columns |= block.any(axis=0)
    return int(min(touched_rows.sum(), touched_columns.sum()))


def _svd(delta: Additive) -> tuple[Array, Array, Array]:
    """Singular vectors and values, float64; of factors without multiplying them out."""
    if isinstance(delta, Factors):
        q_u, r_u = np.linalg.qr(delta.u.astype(np.float64))
        q_v, r_v = np.linalg.qr(delta.v.T.astype(np.float64))
        left, sigma, right = np.linalg.svd(r_u @ r_v.T, full_matrices=False)
        return q_u @ left, sigma, right @ q_v.T
    whole = rows_of(delta, 0, delta.shape[0])
    if whole is None:
        return np.zeros((delta.shape[0], 0)), np.zeros(0), np.zeros((0, delta.shape[1]))
    left, sigma, right = np.linalg.svd(whole, full_matrices=False)
    return left, sigma, right


def _error(whole: Additive, found: Factors) -> float:
    length = norm(whole)
    return distance(whole, found) / length if length else 0.0


def _rounded(factor: Array, dtype: str) -> Array:
    return decode(encode(factor.astype(np.float64), dtype), dtype).astype(np.float32)
