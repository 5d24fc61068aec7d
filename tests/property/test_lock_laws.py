"""The law of locking: sync(lock(x)) = x, in the home that locked and in any other."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package
from patchmgr.manager.manager import Manager
from patchmgr.manager.packages import adopt

packages = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(1, 3), st.sampled_from([EDITABLE, EDITABLE[:1], EDITABLE[1:]])),
    min_size=1,
    max_size=4,
    unique_by=lambda package: package[0],
)


def what(manager: Manager, model: str):
    """A state: its root, its stack, its touched tensors, and the bytes of its folder."""
    generation = manager.registry.generation(model)
    return generation.state_root, generation.packages, generation.tensors, file_digests(manager.path(model))


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory) -> Path:
    """A home with nothing in it, to be copied: making the tables takes longer than all the rest."""
    home = tmp_path_factory.mktemp("empty") / "home"
    Manager.open(home).close()
    return home


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(["F32", "BF16"]), st.booleans(), packages, st.data())
def test_sync_of_lock_of_x_is_x(empty_home, dtype, sharded, made, data):
    with TemporaryDirectory() as name:
        root = Path(name)
        for home in ("here", "there"):
            shutil.copytree(empty_home, root / home)
        base = make_checkpoint(root / "base", dtype=dtype, sharded=sharded)
        for i, (seed, rank, tensors) in enumerate(made):
            make_package(root / f"p{i}", base, name=f"p{i}", seed=seed, rank=rank, tensors=tensors)
        folders = [str(root / f"p{i}") for i in range(len(made))]
        stack = data.draw(st.lists(st.sampled_from(folders), unique=True), label="stack")
        after = data.draw(st.lists(st.sampled_from(folders), unique=True), label="what it becomes meanwhile")
        project = root / "project"
        project.mkdir()
        with Manager.open(root / "here") as here:
            here.add_model("x", str(base))
            for folder in folders:
                adopt(here, Path(folder))
            if stack:
                here.apply("x", stack)
            wanted = what(here, "x")
            here.lock_from(project, "x")
            if stack:
                here.revert("x", [Path(folder).name for folder in stack])
            if after:
                here.apply("x", after)
            here.sync(project)
            assert what(here, "x") == wanted
            assert not here.sync(project)[0].changed
            assert here.lock(project, write=False).changes == ()
        with Manager.open(root / "there") as there:
            there.add_model("x", str(base))
            for folder in data.draw(st.permutations(folders)):
                adopt(there, Path(folder))
            assert there.lock(project, write=False).changes == (), "computed there, from a state that never was there"
            there.sync(project, frozen=True)
            assert what(there, "x") == wanted
