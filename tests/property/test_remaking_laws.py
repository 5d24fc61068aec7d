"""Laws of packages from packages, on whole checkpoints and without torch: a sum is the stack of what it sums."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package, random_factors
from patchmgr.manager.manager import Manager
from patchmgr.manager.remaking.source import Wishes
from patchmgr.package.encodings.columns import Columns
from patchmgr.package.encodings.concatenated import as_factors, concatenated
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.encodings.sparse import Sparse

SHAPE = (6, 9)
ENCODINGS = ("lowrank", "dense", "sparse", "columns")
summands = st.lists(
    st.tuples(
        st.integers(0, 2**16),
        st.lists(
            st.tuples(st.sampled_from(EDITABLE), st.sampled_from(ENCODINGS)), min_size=1, unique_by=lambda x: x[0]
        ),
    ),
    min_size=2,
    max_size=4,
    unique_by=lambda package: package[0],
)


def random_delta(rng, encoding):
    if encoding == "lowrank":
        return random_factors(rng, SHAPE, int(rng.integers(1, 4)))
    values = (0.1 * rng.normal(size=SHAPE)).astype(np.float32)
    if encoding == "dense":
        return Dense(values)
    if encoding == "columns":
        places = np.sort(rng.choice(SHAPE[1], int(rng.integers(1, 4)), replace=False)).astype(np.int64)
        return Columns(places, np.ascontiguousarray(values[:, places]), SHAPE)
    places = np.sort(rng.choice(SHAPE[0] * SHAPE[1], int(rng.integers(1, 20)), replace=False)).astype(np.int64)
    return Sparse(places, np.ascontiguousarray(values.reshape(-1)[places]), SHAPE)


def make_packages(folder: Path, base: Path, packages) -> list[str]:
    folders = []
    for i, (seed, touched) in enumerate(packages):
        rng = np.random.default_rng(seed)
        deltas = {tensor: random_delta(rng, encoding) for tensor, encoding in touched}
        make_package(folder / f"p{i}", base, name=f"p{i}", seed=seed, deltas=deltas)
        folders.append(str(folder / f"p{i}"))
    return folders


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["F32", "F16", "BF16"]), summands, st.data())
def test_a_sum_alone_gives_exactly_the_bytes_that_its_packages_give_together(dtype, packages, data):
    with TemporaryDirectory() as name, Manager.open(Path(name) / "home") as manager:
        base = make_checkpoint(Path(name) / "base", dtype=dtype, seed=3)
        folders = make_packages(Path(name), base, packages)
        last = data.draw(st.integers(2, len(folders)), label="of which the first so many are summed")
        manager.add_model("stack", str(base))
        manager.add_model("sum", str(base))
        manager.apply("stack", folders)
        made = manager.merge("sum", "all", folders[:last], Wishes(), how="sum", measure=False).edit.version
        manager.apply("sum", data.draw(st.permutations([made.reference, *folders[last:]])))
        assert file_digests(manager.path("sum")) == file_digests(manager.path("stack"))
        assert manager.status("sum")[0].state_root == manager.status("stack")[0].state_root


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**16), st.sampled_from(ENCODINGS)), min_size=1, max_size=4))
def test_deltas_side_by_side_are_their_exact_sum(summed):
    deltas = [random_delta(np.random.default_rng(seed), encoding) for seed, encoding in summed]
    factors = [delta if isinstance(delta, Factors) else as_factors(delta) for delta in deltas]
    joined = concatenated(deltas, SHAPE)
    if len(deltas) == 1:
        assert joined is deltas[0]
    else:
        assert joined.rank == sum(each.rank for each in factors)
        for row in range(SHAPE[0]):
            terms = np.concatenate([each.u[row, :, None] * each.v.astype(np.float64) for each in factors])
            np.testing.assert_array_equal(joined.u[row, :, None] * joined.v.astype(np.float64), terms)
    for delta, each in zip(deltas, factors, strict=True):
        if not isinstance(delta, Factors):
            values = delta.block(0, SHAPE[0])
            np.testing.assert_array_equal(
                each.u.astype(np.float64) @ each.v, np.zeros(SHAPE) if values is None else values
            )
            assert each.rank <= min(SHAPE)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=3), min_size=2, max_size=4))
def test_what_is_no_matrix_is_summed_where_that_is_exact_and_nowhere_else(rows):
    found = concatenated([Dense(np.array(row, np.float32)) for row in rows], (3,))
    exact = [sum(map(Fraction, column)) for column in zip(*rows, strict=True)]
    if found is not None:
        assert [Fraction(float(value)) for value in found.values] == exact
        return
    sums = [sum(map(Fraction, column[:n])) for column in zip(*rows, strict=True) for n in range(1, len(rows))]
    fits = all(Fraction(float(np.float32(float(value)))) == value for value in exact)
    assert not fits or any(Fraction(float(value)) != value for value in sums)
