"""Laws of stacks, on whole checkpoints: what is taken out leaves no trace, in any order."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package
from patchmgr.manager.manager import Manager

stacks = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(1, 3), st.sampled_from([EDITABLE, EDITABLE[:1], EDITABLE[1:]])),
    min_size=1,
    max_size=4,
    unique_by=lambda package: package[0],
)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(["F32", "F16", "BF16"]), st.booleans(), stacks, st.randoms(use_true_random=False))
def test_apply_then_revert_restores_base_bit_for_bit(dtype, sharded, packages, random):
    with TemporaryDirectory() as name, Manager.open(Path(name) / "home") as manager:
        base = make_checkpoint(Path(name) / "base", dtype=dtype, sharded=sharded)
        before = file_digests(base)
        folders = [
            make_package(Path(name) / f"p{i}", base, name=f"p{i}", seed=seed, rank=rank, tensors=tensors)
            and str(Path(name) / f"p{i}")
            for i, (seed, rank, tensors) in enumerate(packages)
        ]
        manager.add_model("tiny", str(base))
        for folder in folders:
            manager.apply("tiny", [folder])
        assert file_digests(manager.path("tiny")) != before
        leaving = [f"p{i}" for i in range(len(folders))]
        random.shuffle(leaving)
        for reference in leaving:
            manager.revert("tiny", [reference])
        assert file_digests(manager.path("tiny")) == before
        assert file_digests(base) == before
        pristine, last = manager.registry.generation("tiny", 0), manager.registry.generation("tiny")
        assert last.state_root == pristine.state_root


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["F32", "F16", "BF16"]), st.booleans(), stacks, st.data())
def test_taking_out_the_middle_is_never_having_had_it(dtype, sharded, packages, data):
    with TemporaryDirectory() as name, Manager.open(Path(name) / "home") as manager:
        base = make_checkpoint(Path(name) / "base", dtype=dtype, sharded=sharded)
        for i, (seed, rank, tensors) in enumerate(packages):
            make_package(Path(name) / f"p{i}", base, name=f"p{i}", seed=seed, rank=rank, tensors=tensors)
        folders = [str(Path(name) / f"p{i}") for i in range(len(packages))]
        out = data.draw(st.integers(0, len(folders) - 1))
        order = data.draw(st.permutations([f for i, f in enumerate(folders) if i != out]))
        manager.add_model("with", str(base))
        manager.add_model("without", str(base))
        manager.apply("with", folders)
        manager.revert("with", [f"p{out}"])
        manager.apply("without", order)
        assert file_digests(manager.path("with")) == file_digests(manager.path("without"))
        assert manager.status("with")[0].state_root == manager.status("without")[0].state_root


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(["F32", "BF16"]), stacks, st.data())
def test_taking_out_any_subset_that_nobody_needs_is_never_having_had_it(dtype, packages, data):
    """Parents are drawn at random, so what stays may have been computed on some of what stays, and on nothing else."""
    with TemporaryDirectory() as name, Manager.open(Path(name) / "home") as manager:
        base = make_checkpoint(Path(name) / "base", dtype=dtype)
        manager.add_model("with", str(base))
        manager.add_model("without", str(base))
        parents: dict[str, frozenset[str]] = {}
        for i, (seed, rank, tensors) in enumerate(packages):
            on = data.draw(st.sets(st.sampled_from(sorted(parents))), label=f"p{i} is on") if parents else set()
            parents[f"p{i}"] = frozenset(on).union(*(parents[each] for each in on))
            below = [Path(name) / each for each in sorted(parents[f"p{i}"])]
            folder = Path(name) / f"p{i}"
            make_package(folder, base, name=f"p{i}", seed=seed, rank=rank, tensors=tensors, on=below)
            manager.apply("with", [str(folder)])
        out = data.draw(st.sets(st.sampled_from(sorted(parents)), min_size=1), label="out")
        out |= {each for each in parents if parents[each] & out}
        manager.revert("with", data.draw(st.permutations(sorted(out))))
        staying = [each for each in parents if each not in out]
        if staying:
            manager.apply("without", staying)
        assert file_digests(manager.path("with")) == file_digests(manager.path("without"))
        assert manager.status("with")[0].state_root == manager.status("without")[0].state_root
