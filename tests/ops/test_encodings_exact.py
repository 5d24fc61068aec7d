"""Stacks of every encoding: 0 differing bytes against the slow reference, however the work is cut up."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import ENCODINGS, file_digests, fingerprint_of, make_checkpoint, make_package, write_tensors
from ops.reference import summed
from patchmgr.base.checkpoint import SINGLE_FILE, Checkpoint
from patchmgr.errors import BaseMismatchError, ConflictError
from patchmgr.manager.manager import Manager
from patchmgr.ops import kernel
from patchmgr.ops.rounding import STORAGE, decode, encode
from patchmgr.ops.sums import check_replacing, collect
from patchmgr.package.encodings import xor as xors
from patchmgr.package.encodings.columns import Columns
from patchmgr.package.encodings.contract import Factors, matrix_shape
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.encodings.sparse import Sparse
from patchmgr.package.encodings.xor import xor_between
from patchmgr.package.reader import EditPackage

DTYPES = ["F32", "F16", "BF16"]
KINDS = ["lowrank", "dense", "sparse", "columns"]
SHAPES = st.lists(st.integers(1, 5), max_size=3).map(tuple)


def numbers(rng, shape):
    """Of very different size, some of them zero, some on the borders between neighbours."""
    found = rng.normal(size=shape) * 2.0 ** rng.integers(-30, 0, size=shape)
    found = np.where(rng.random(shape) < 0.3, np.sign(found) * 2.0 ** rng.integers(-26, -5, size=shape), found)
    return np.asarray(np.where(rng.random(shape) < 0.2, 0.0, found), np.float32)


def delta_of(kind, rng, shape):
    rows, columns = matrix_shape(shape)
    if kind == "lowrank":
        rank = int(rng.integers(0, 4))
        return Factors(numbers(rng, (rows, rank)), numbers(rng, (rank, columns)))
    if kind == "dense":
        return Dense(numbers(rng, shape))
    limit = columns if kind == "columns" else prod(shape)
    indices = np.sort(rng.choice(limit, rng.integers(0, limit + 1), replace=False)).astype(np.int64)
    if kind == "columns":
        return Columns(indices, numbers(rng, (rows, len(indices))), (rows, columns))
    return Sparse(indices, numbers(rng, (len(indices),)), (rows, columns))


def weights(rng, shape, dtype):
    """Finite ones with zeros of both signs and subnormal numbers among them."""
    values = rng.normal(size=shape) * 2.0 ** rng.integers(-20, 3, size=shape)
    found = encode(np.where(rng.random(shape) < 0.1, 0.0, values), dtype)
    tiny = rng.integers(0, 3, shape).astype(found.dtype)
    sign = (rng.random(shape) < 0.5).astype(found.dtype) << (8 * found.dtype.itemsize - 1)
    return np.asarray(np.where(rng.random(shape) < 0.2, tiny | sign, found), found.dtype)


def raw(array):
    return np.frombuffer(array.tobytes(), np.uint8)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=SHAPES,
    dtype=st.sampled_from(DTYPES),
    kinds=st.lists(st.sampled_from(KINDS), max_size=5),
    replaced=st.booleans(),
    data=st.data(),
)
def test_no_byte_differs_from_the_reference(seed, shape, dtype, kinds, replaced, data):
    rng = np.random.default_rng(seed)
    base, after = weights(rng, shape, dtype), weights(rng, shape, dtype)
    additive = [delta_of(kind, rng, shape) for kind in kinds]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "BLOCK_BYTES", data.draw(st.sampled_from([1, 16, 100, 1 << 22])))
        patch.setattr(kernel, "TILE_COLUMNS", data.draw(st.sampled_from([1, 2, 3, 2048])))
        patch.setattr(xors, "CHUNK_BYTES", data.draw(st.sampled_from([8, 16, 40, 1 << 22])))
        deltas = [xor_between(raw(base), raw(after), dtype)] if replaced else []
        order = data.draw(st.permutations(additive))
        found, _ = kernel.summed_tensor(base.tobytes(), dtype, shape, [*deltas, *order], name="w")
    expected = summed((after if replaced else base).reshape(matrix_shape(shape)), dtype, additive)
    assert found == expected.tobytes()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(DTYPES), st.sampled_from(["dense", "sparse", "columns"]))
def test_planted_ties_and_what_tips_them(seed, dtype, kind):
    """W + half a spacing: even; with a second package's 2⁻⁶⁰ beside it, the neighbour on that side."""
    rng = np.random.default_rng(seed)
    bits = encode(rng.uniform(1.0, 1.99, size=(3, 4)), dtype)
    half = ((decode(bits + 1, dtype) - decode(bits, dtype)) / 2).astype(np.float32)
    sign = rng.choice([-1.0, 0.0, 1.0], size=(3, 4)).astype(np.float32)
    shape, every = (3, 4), np.arange(12)
    tie = {
        "dense": Dense(half),
        "sparse": Sparse(every, half.reshape(-1), shape),
        "columns": Columns(np.arange(4), half, shape),
    }[kind]
    deltas = [tie, Dense(sign * np.float32(2.0**-60))]
    found, _ = kernel.summed_tensor(bits.tobytes(), dtype, shape, deltas, name="w")
    up = np.where(sign == 0, bits % 2 == 1, sign > 0)
    assert found == (bits + up.astype(bits.dtype)).tobytes()
    assert found == summed(bits, dtype, deltas).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_that_nothing_is_added_to_keep_their_bytes_whatever_they_are(dtype):
    """NaN, infinity and −0.0 beside an element that is changed."""
    bits = np.array([[0x7F, 0xFF, 0x80, 0x00]], STORAGE[dtype]) << (8 * STORAGE[dtype].itemsize - 8)
    bits |= np.array([[0xC1, 0, 0, 0]], STORAGE[dtype])
    delta = Sparse(np.array([2, 3]), np.array([0.0, 1.0], np.float32), (1, 4))
    found, _ = kernel.summed_tensor(bits.tobytes(), dtype, (1, 4), [delta], name="w")
    expected = bits.copy()
    expected[0, 3] = encode(np.array([1.0]), dtype)[0]
    assert found == expected.tobytes()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "I8", "BF16", "U64"])
def test_a_replacement_gives_every_pattern_of_bits(dtype):
    """NaNs of every kind, from every byte to every byte."""
    before = np.repeat(np.arange(256, dtype=np.uint8), 256)
    after = np.tile(np.arange(256, dtype=np.uint8), 256)
    shape = (len(before) // xors.item_bytes(dtype),)
    found, _ = kernel.summed_tensor(before.tobytes(), dtype, shape, [xor_between(before, after, dtype)], name="w")
    assert found == after.tobytes()


# Packages and models

DOWN, NORM = "layers.0.down.weight", "norm.weight"


def replacing(base, name, *, seed):
    """A replacement of one tensor of a checkpoint by random finite numbers, and their bytes."""
    checkpoint = Checkpoint.read(base)
    _, entry = checkpoint.entry(name)
    after = encode(np.random.default_rng(seed).normal(size=entry.shape), entry.dtype)
    return xor_between(np.frombuffer(checkpoint.read_bytes(name), np.uint8), raw(after), entry.dtype), after


def known(base):
    return fingerprint_of(base)


@pytest.mark.parametrize("sharded", [False, True], ids=["one file", "sharded"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_packages_of_every_encoding_apply_and_come_out_again(dtype, sharded, tmp_path):
    """On a matrix and a vector, each by itself and all together, in one generation that matches the reference."""
    base = make_checkpoint(tmp_path / "base", dtype=dtype, sharded=sharded)
    rng = np.random.default_rng(0)
    xor, after = replacing(base, DOWN, seed=1)
    stacks = {kind: {DOWN: delta_of(kind, rng, (6, 9))} for kind in KINDS}
    for kind in ("dense", "sparse", "columns"):
        stacks[kind][NORM] = delta_of(kind, rng, (6,))
    stacks["xor"] = {DOWN: xor}
    for kind, deltas in stacks.items():
        make_package(tmp_path / kind, base, name=kind, deltas=deltas)
    with Manager.open(tmp_path / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(tmp_path / kind) for kind in stacks])
        state = Checkpoint.read(manager.path("tiny"))
        additive = [stacks[kind][DOWN] for kind in KINDS]
        assert state.read_bytes(DOWN) == summed(after, dtype, additive).tobytes()
        norm = np.frombuffer(Checkpoint.read(base).read_bytes(NORM), STORAGE[dtype]).reshape(1, 6)
        vectors = [stacks[kind][NORM] for kind in ("dense", "sparse", "columns")]
        assert state.read_bytes(NORM) == summed(norm, dtype, vectors).tobytes()
        manager.revert("tiny", ["xor"])
        stored = np.frombuffer(Checkpoint.read(base).read_bytes(DOWN), STORAGE[dtype]).reshape(6, 9)
        state = Checkpoint.read(manager.path("tiny"))
        assert state.read_bytes(DOWN) == summed(stored, dtype, additive).tobytes()
        manager.revert("tiny", KINDS)
        assert file_digests(manager.path("tiny")) == file_digests(base)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "I8"])
def test_a_quantised_tensor_is_replaced_and_comes_back(dtype, tmp_path):
    base = make_checkpoint(tmp_path / "base")
    before, after = np.random.default_rng(0).integers(0, 256, (2, 5, 8), np.uint8)
    write_tensors(base / SINGLE_FILE, {"w": before}, dtype)
    make_package(tmp_path / "p", base, name="p", deltas={"w": xor_between(raw(before), raw(after), dtype)})
    with Manager.open(tmp_path / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(tmp_path / "p")])
        assert Checkpoint.read(manager.path("tiny")).read_bytes("w") == after.tobytes()
        manager.revert("tiny", ["p"])
        assert Checkpoint.read(manager.path("tiny")).read_bytes("w") == before.tobytes()


def test_two_packages_that_replace_one_tensor_are_refused(tmp_path):
    base = make_checkpoint(tmp_path / "base")
    for number in (1, 2):
        make_package(
            tmp_path / f"p{number}", base, name=f"p{number}", deltas={DOWN: replacing(base, DOWN, seed=number)[0]}
        )
    packages = [EditPackage.read(tmp_path / f"p{number}") for number in (1, 2)]
    with pytest.raises(ConflictError, match=rf"p2@v1 replaces '{DOWN}', which another package"):
        check_replacing([package.manifest for package in packages], ENCODINGS, known(base))
    with pytest.raises(ConflictError, match=rf"p2@v1 replaces '{DOWN}', which another package"):
        collect(packages, ENCODINGS, Checkpoint.read(base))
    with Manager.open(tmp_path / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(tmp_path / "p1")])
        with pytest.raises(ConflictError, match="revert the other first"):
            manager.apply("tiny", [str(tmp_path / "p2")])
        manager.revert("tiny", ["p1"])
        manager.apply("tiny", [str(tmp_path / "p2")])
        assert Checkpoint.read(manager.path("tiny")).read_bytes(DOWN) == replacing(base, DOWN, seed=2)[1].tobytes()


def test_a_replacement_made_on_other_bytes_is_refused(tmp_path):
    base, other = make_checkpoint(tmp_path / "base"), make_checkpoint(tmp_path / "other", seed=1)
    manifest = make_package(tmp_path / "p", other, name="p", deltas={DOWN: replacing(other, DOWN, seed=1)[0]})
    check_replacing([manifest], ENCODINGS, known(other))
    with pytest.raises(ConflictError, match=rf"p@v1 replaces '{DOWN}' as it was with digest"):
        check_replacing([manifest], ENCODINGS, known(base))
    added = make_package(tmp_path / "q", other, name="q")
    check_replacing([added], ENCODINGS, known(base))  # that it is another base is found elsewhere


def test_a_sum_on_a_quantised_tensor_is_refused_before_it_is_written(tmp_path):
    """The base stores what the package calls BF16 as integers of the same size."""
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "p", base, name="p")
    bits = np.zeros((6, 9), "<u2")
    write_tensors(base / SINGLE_FILE, {"layers.0.down.weight": bits, "layers.1.down.weight": bits}, "I16")
    with pytest.raises(BaseMismatchError, match="I16"):
        collect([EditPackage.read(tmp_path / "p")], ENCODINGS, Checkpoint.read(base))
