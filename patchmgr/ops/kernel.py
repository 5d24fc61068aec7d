"""The kernel ``exact-v1``: W' is the exact value of W₀ + Σ U_k V_k, rounded once to the tensor's dtype.

The sum is computed in float64 together with a bound of its error. Where the bound reaches over a rounding boundary, the
element is computed again without error. So the bytes depend on neither the order of the packages, nor the block size,
nor the BLAS.

Glossary: W₀ (rows, columns) base tensor; U_k (rows, r_k), V_k (r_k, columns) float32 factors; a product of two float32
is exact in float64 (48 bits of 53).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from patchmgr.errors import MethodError
from patchmgr.ops.rounding import STORAGE, Array, decode, encode
from patchmgr.package.encodings.contract import Factors

BLOCK_BYTES = 32 * 1024 * 1024
_UNIT = 2.0**-53


@dataclass(frozen=True)
class _Terms:
    """All factors of a tensor side by side: one product of U (rows, Σr) and V (Σr, columns), in float64."""

    u: Array
    v: Array
    v_norm: Array

    @classmethod
    def join(cls, deltas: Sequence[Factors]) -> _Terms:
        u = np.concatenate([delta.u for delta in deltas], axis=1).astype(np.float64)
        v = np.concatenate([delta.v for delta in deltas], axis=0).astype(np.float64)
        return cls(u, v, np.sqrt((v * v).sum(axis=0)))


def summed_blocks(
    base: Array | Sequence[Array], dtype: str, shape: tuple[int, ...], deltas: Sequence[Factors], *, name: str
) -> Iterator[bytes]:
    """The bytes of W' in row blocks.

    Args:
        base: stored elements of W₀ as unsigned integers, any shape of the right count.
        dtype: safetensors name, F32, F16 or BF16.
        shape: (rows, columns).
        deltas: additive factors; none of them leaves the bytes as they are.
        name: of the tensor, for messages.

    Raises:
        MethodError: the sum is not finite.
    """
    rows, columns = shape
    stored = np.asarray(base).reshape(rows, columns)
    if not deltas:
        yield stored.tobytes()
        return
    terms = _Terms.join(deltas)
    step = max(1, BLOCK_BYTES // (8 * columns))
    for start in range(0, rows, step):
        yield _block(stored[start : start + step], dtype, terms, start, name).tobytes()


def _block(stored: Array, dtype: str, terms: _Terms, start: int, name: str) -> Array:
    weights = decode(stored, dtype)
    u = terms.u[start : start + len(weights)]
    total = weights + u @ terms.v
    if not np.isfinite(total).all():
        raise MethodError(f"the sum for {name!r} is not finite", hint="a package or the base holds huge values")
    bound = _error_bound(weights, u, terms)
    low, high = encode(total - bound, dtype), encode(total + bound, dtype)
    result = np.where(bound == 0, stored, encode(total, dtype))  # nothing is added: -0.0 stays -0.0
    for row, column in np.argwhere(low != high):
        products = u[row] * terms.v[:, column]
        result[row, column] = exact_element([float(weights[row, column]), *products.tolist()], dtype)
    if not np.isfinite(decode(result, dtype)).all():
        raise MethodError(f"the sum for {name!r} leaves the range of {dtype}", hint="do not stack these packages")
    return result


def _error_bound(weights: Array, u: Array, terms: _Terms) -> Array:
    """γ_n(|W| + ‖u_i‖‖v_j‖) ≥ the error of any order of summation, n = Σr + 1 terms (Higham 2002, §3.1 and 4.2).

    Σ|u_ik||v_kj| ≤ ‖u_i‖‖v_j‖ by Cauchy and Schwarz; the factor of two covers the rounding of the bound itself.
    """
    n = terms.v.shape[0] + 1
    u_norm = np.sqrt((u * u).sum(axis=1))
    gamma = 2.0 * n * _UNIT / (1.0 - n * _UNIT)
    bound: Array = gamma * (np.abs(weights) + np.outer(u_norm, terms.v_norm))
    return bound


def exact_element(terms: Sequence[float], dtype: str) -> int:
    """The stored element nearest to the exact sum of float64 terms, ties to even.

    ``fsum`` rounds the exact sum to float64 once, which keeps it on its side of every rounding boundary of the narrower
    types, for these are float64 numbers. Only a sum that *lands on* a boundary can mislead; the sign of what ``fsum``
    left out then decides. A sum of exactly zero keeps the first term's sign of zero.
    """
    total = math.fsum(terms)
    if total == 0 and terms[0] == 0:
        total = terms[0]
    below, at, above = encode(
        np.array([math.nextafter(total, -math.inf), total, math.nextafter(total, math.inf)]), dtype
    )
    if below != above and _is_boundary(below, total, above, dtype):
        left_out = math.fsum([*terms, -total])
        at = at if left_out == 0 else (above if left_out > 0 else below)
    return int(at)


def _is_boundary(below: int, total: float, above: int, dtype: str) -> bool:
    """Whether ``total`` lies halfway between two neighbours; infinity counts as one spacing beyond the largest."""
    low, high = decode(np.array([below, above], STORAGE[dtype]), dtype)
    if math.isinf(low) or math.isinf(high):
        largest, end = (low, above - 1) if math.isinf(high) else (high, below - 1)
        spacing = largest - decode(np.array([end - 1], STORAGE[dtype]), dtype)[0]
        return bool(total == largest + spacing / 2)
    return bool(low + high == 2 * total)


def summed_tensor(
    data: bytes, dtype: str, shape: tuple[int, ...], deltas: Sequence[Factors], *, name: str
) -> tuple[bytes, str]:
    """The bytes of W' and their SHA-256, for callers that hold a whole tensor.

    Raises:
        MethodError: the sum is not finite.
    """
    digest, blocks = hashlib.sha256(), []
    for block in summed_blocks(np.frombuffer(data, STORAGE[dtype]), dtype, shape, deltas, name=name):
        digest.update(block)
        blocks.append(block)
    return b"".join(blocks), digest.hexdigest()
