"""What two sides do to one tensor, measured without multiplying factors out.

Glossary: Δ the change of a tensor on one side: what its package adds, or the sum of what the packages of a state add;
W the tensor in the base. On the difference Δ_b − Δ_a only those packages count that one side alone has: what both have
cancels without a rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchmgr.ops.additive import total
from patchmgr.ops.deltas import cosine, distance, finite, norm, rank
from patchmgr.ops.difference.contract import DeltaFacts, TensorDifference
from patchmgr.package.encodings.contract import Additive, Array, Delta, Encoding, matrix_shape


@dataclass(frozen=True)
class Term:
    """What one package adds to a tensor."""

    reference: str
    digest: str
    """Of the package."""
    encoding: str
    delta: Additive | None
    """None for bytes that are no numbers, or where the base that they stand on is not here."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as one side sees it."""

    dtype: str
    shape: tuple[int, ...]
    terms: tuple[Term, ...]
    """In the order of the stack; none: it is as in the base."""
    base_norm: float | None
    """‖W‖; None where the base is not here, or is no numbers."""


def tensor_difference(name: str, a: Tensor | None, b: Tensor | None, *, same_base: bool) -> TensorDifference:
    """The facts of both sides, and how far apart they are.

    Args:
        name: of the tensor in the checkpoint.
        a: the first side; None where it has no such tensor or does not touch it.
        b: likewise.
        same_base: both changes fall on the same weights; else they are compared by themselves only.

    Raises:
        ValueError: neither side has it.
    """
    shown = a or b
    if shown is None:
        raise ValueError(f"{name!r} is on neither side")
    sums = [_sum(side, side.terms) if side else None for side in (a, b)]
    comparable = same_base and (a is None or b is None or (a.dtype, a.shape) == (b.dtype, b.shape))
    return TensorDifference(
        name,
        shown.dtype,
        shown.shape,
        _facts(a, sums[0]),
        _facts(b, sums[1]),
        _distance(a, b, matrix_shape(shown.shape)) if comparable else None,
        cosine(sums[0], sums[1]) if comparable and sums[0] is not None and sums[1] is not None else None,
    )


def same_arrays(encoding: Encoding, a: Delta, b: Delta) -> bool:
    """Whether two deltas of one encoding are stored alike, to the last bit."""
    left, right = encoding.encode(a), encoding.encode(b)
    return all(_same_bits(left[part], right[part]) for part in encoding.parts)


def _facts(side: Tensor | None, delta: Additive | None) -> DeltaFacts | None:
    if side is None or not side.terms:
        return None
    length = None if delta is None else finite(norm(delta))
    return DeltaFacts(
        tuple(term.reference for term in side.terms),
        tuple(dict.fromkeys(term.encoding for term in side.terms)),
        None if delta is None else rank(delta),
        length,
        length / side.base_norm if length is not None and side.base_norm else None,
    )


def _distance(a: Tensor | None, b: Tensor | None, shape: tuple[int, int]) -> float | None:
    terms_a, terms_b = (side.terms if side else () for side in (a, b))
    common = {term.digest for term in terms_a} & {term.digest for term in terms_b}
    alone = [[term.delta for term in terms if term.digest not in common] for terms in (terms_a, terms_b)]
    left, right = (_total(deltas, shape) for deltas in alone)
    return None if left is None or right is None else finite(distance(left, right))


def _sum(side: Tensor, terms: Sequence[Term]) -> Additive | None:
    return _total([term.delta for term in terms], matrix_shape(side.shape)) if terms else None


def _total(deltas: Sequence[Additive | None], shape: tuple[int, int]) -> Additive | None:
    known = [delta for delta in deltas if delta is not None]
    return total(known, shape) if len(known) == len(deltas) else None


def _same_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
