"""Inner products, lengths, distances, ranks and products of deltas, against the same worked out densely."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from patchmgr.ops import deltas
from patchmgr.ops.additive import Exchanged, as_sum, total
from patchmgr.ops.deltas import (
    cosine,
    distance,
    finite,
    inner,
    norm,
    product,
    rank,
    singular_values,
    tensor_norm,
)
from patchmgr.ops.rounding import decode, encode
from patchmgr.package.encodings.columns import Columns
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.encodings.sparse import Sparse
from patchmgr.package.encodings.xor import xor_between

RNG = np.random.default_rng(0)
ROWS, COLUMNS = 13, 7


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def bits(values: np.ndarray, dtype: str) -> np.ndarray:
    return np.frombuffer(encode(values, dtype).tobytes(), np.uint8)


def pairs():
    """A delta of every encoding, with its dense value worked out by other means."""
    u, v = normal(ROWS, 3), normal(3, COLUMNS)
    yield "lowrank", Factors(u, v), u.astype(np.float64) @ v.astype(np.float64)
    wide_u, wide_v = normal(ROWS, 20), normal(20, COLUMNS)
    yield "wide", Factors(wide_u, wide_v), wide_u.astype(np.float64) @ wide_v.astype(np.float64)
    values = normal(ROWS, COLUMNS)
    yield "dense", Dense(values), values.astype(np.float64)
    dense, places = np.zeros(ROWS * COLUMNS), np.array([0, 5, 40, 90])
    dense[places] = values.reshape(-1)[places]
    yield "sparse", Sparse(places, values.reshape(-1)[places], (ROWS, COLUMNS)), dense.reshape(ROWS, COLUMNS)
    dense, places = np.zeros((ROWS, COLUMNS)), np.array([1, 6])
    dense[:, places] = values[:, places]
    yield "columns", Columns(places, values[:, places], (ROWS, COLUMNS)), dense
    for dtype in ("F32", "F16", "BF16"):
        before, after = bits(normal(ROWS, COLUMNS), dtype), bits(normal(ROWS, COLUMNS), dtype)
        delta = as_sum(xor_between(before, after, dtype), stored=before, dtype=dtype, shape=(ROWS, COLUMNS))
        kind = {"F32": np.uint32}.get(dtype, np.uint16)
        dense = (decode(after.view(kind), dtype) - decode(before.view(kind), dtype)).reshape(ROWS, COLUMNS)
        yield f"xor-{dtype}", delta, dense


PAIRS = list(pairs())
PAIRS.append(("together", total([pair[1] for pair in PAIRS], (ROWS, COLUMNS)), sum(pair[2] for pair in PAIRS)))
ONE = pytest.mark.parametrize(("delta", "dense"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
TWO = list(itertools.combinations_with_replacement(PAIRS, 2))
BOTH = pytest.mark.parametrize(("one", "other"), TWO, ids=[f"{a[0]}-{b[0]}" for a, b in TWO])


@pytest.fixture(autouse=True, params=[16, 1 << 20])
def blocks(monkeypatch, request):
    monkeypatch.setattr(deltas, "BLOCK_ELEMENTS", request.param)


@BOTH
def test_inner_products_and_distances(one, other):
    (_, a, dense_a), (_, b, dense_b) = one, other
    assert inner(a, b) == pytest.approx(np.sum(dense_a * dense_b), rel=1e-11, abs=1e-11)
    assert inner(b, a) == pytest.approx(inner(a, b), rel=1e-12, abs=1e-12)
    assert distance(a, b) == pytest.approx(np.linalg.norm(dense_a - dense_b), rel=1e-11, abs=1e-12)
    assert distance(b, a) == pytest.approx(distance(a, b), rel=1e-12, abs=1e-12)
    wanted = np.sum(dense_a * dense_b) / np.linalg.norm(dense_a) / np.linalg.norm(dense_b)
    assert cosine(a, b) == pytest.approx(wanted, rel=1e-9, abs=1e-11)


@ONE
def test_lengths_and_products(delta, dense):
    assert norm(delta) == pytest.approx(np.linalg.norm(dense), rel=1e-12)
    assert distance(delta, delta) == 0.0
    keys, values = normal(COLUMNS, 4), normal(ROWS, 4)
    np.testing.assert_allclose(product(delta, keys), dense @ keys, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(product(delta, values, transposed=True), dense.T @ values, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("delta", [pair[1] for pair in PAIRS[:2]], ids=["lowrank", "wide"])
def test_singular_values_of_factors(delta):
    dense = delta.u.astype(np.float64) @ delta.v.astype(np.float64)
    wanted = np.linalg.svd(dense, compute_uv=False)[: min(delta.rank, *delta.shape)]
    np.testing.assert_allclose(singular_values(delta), wanted, rtol=1e-10)
    assert rank(delta) == np.linalg.matrix_rank(dense)


def test_a_factor_that_repeats_another_adds_no_rank():
    u, v = normal(ROWS, 1), normal(1, COLUMNS)
    assert rank(Factors(np.hstack([u, 2 * u]), np.vstack([v, v]))) == 1
    assert rank(Factors(np.hstack([u, -u]), np.vstack([v, v]))) == 0
    assert rank(Factors(np.zeros((ROWS, 0), np.float32), np.zeros((0, COLUMNS), np.float32))) == 0
    assert rank(Dense(normal(ROWS, COLUMNS))) is None


def test_factors_together_are_factors():
    found = total([pair[1] for pair in PAIRS[:2]], (ROWS, COLUMNS))
    assert isinstance(found, Factors)
    assert found.rank == 23
    assert norm(found) == pytest.approx(np.linalg.norm(PAIRS[0][2] + PAIRS[1][2]), rel=1e-12)
    assert norm(total([], (ROWS, COLUMNS))) == 0.0


def test_a_small_difference_of_large_deltas_is_measured():
    u, v = 1e6 * normal(ROWS, 1), normal(1, COLUMNS)
    moved = u.copy()
    moved[3, 0] = np.nextafter(moved[3, 0], np.float32(np.inf))
    wanted = abs(float(moved[3, 0]) - float(u[3, 0])) * np.linalg.norm(v.astype(np.float64))
    assert distance(Factors(u, v), Factors(moved, v)) == pytest.approx(wanted, rel=1e-3)


def test_nothing_has_no_direction():
    nothing = Factors(np.zeros((ROWS, 0), np.float32), np.zeros((0, COLUMNS), np.float32))
    assert norm(nothing) == 0.0
    assert cosine(nothing, Dense(normal(ROWS, COLUMNS))) is None


def test_deltas_of_two_shapes_are_refused():
    for measure in (inner, distance, cosine):
        with pytest.raises(ValueError, match=r"\(13, 7\) and \(7, 13\)"):
            measure(Dense(normal(ROWS, COLUMNS)), Dense(normal(COLUMNS, ROWS)))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_norm_of_a_tensor(dtype):
    values = encode(RNG.normal(size=(ROWS, COLUMNS)), dtype)
    assert tensor_norm(values.tobytes(), dtype) == pytest.approx(np.linalg.norm(decode(values, dtype)), rel=1e-12)


def test_what_has_no_norm_says_so():
    raw = np.frombuffer(RNG.bytes(32), np.uint8)
    xor = xor_between(raw, raw[::-1].copy(), "I8")
    assert as_sum(xor, stored=raw, dtype="I8", shape=(4, 8)) is None
    assert as_sum(xor, stored=None, dtype="F32", shape=(2, 4)) is None
    assert tensor_norm(raw.tobytes(), "I8") is None
    assert tensor_norm(np.array([1.0, np.nan], np.float32).tobytes(), "F32") is None
    before, after = (np.array([value, 1.0], np.float32).view(np.uint8) for value in (0.0, np.inf))
    change = Exchanged(xor_between(before, after, "F32"), before, "F32", (1, 2))
    assert finite(norm(change)) is None
    assert cosine(change, Dense(np.ones((1, 2), np.float32))) is None
