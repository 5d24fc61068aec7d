"""A home with packages about two people."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from manager.forget.home import OTHER, SECRET, request
from memory_packages import make_memory_package
from patchmgr.manager.manager import Manager


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """``tiny`` with a secret package at generation 1 and without it at 2; another package stays applied."""
    root = tmp_path_factory.mktemp("forget") / "root"
    base = make_checkpoint(root / "base", sharded=True)
    make_package(root / "secret", base, name="secret", seed=1, requests=[request(SECRET)])
    make_package(root / "other", base, name="other", seed=2, tensors=EDITABLE[:1], requests=[request(OTHER)])
    make_memory_package(root / "memory", base)
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(root / "other")])
        manager.apply("tiny", [str(root / "secret")])
        manager.revert("tiny", ["secret"])
        manager.tag("secret@v1", "stable")
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy in which every generation lies where the registry says, for the home is found at one place only."""
    place = made.with_name("kept")
    shutil.copytree(made, place, symlinks=True)
    yield made
    shutil.rmtree(made)
    place.rename(made)


@pytest.fixture
def manager(root):
    with Manager.open(root / "home") as opened:
        yield opened
