"""A home with a tiny model and a method that takes no time, and packages of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from column_writer import Write
from patchmgr.manager.manager import Manager
from patchmgr.methods.loader import load_plugins
from tiny_models import tiny_model, tiny_tokenizer


def save_tiny(folder: Path, **changes: object) -> Path:
    """A checkpoint of two blocks, or as ``changes`` say."""
    tiny_model("gpt2", **{"n_layer": 2, "n_positions": 160, **changes}).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def deeper_base(tmp_path_factory) -> Path:
    """Another base: of three blocks, with other weights."""
    return save_tiny(tmp_path_factory.mktemp("deeper") / "base", n_layer=3, seed=1)


@pytest.fixture
def write():
    return Write()


@pytest.fixture
def manager(home, write, tiny_base):
    with Manager.open() as manager:
        manager.__dict__["plugins"] = replace(load_plugins(), methods={"write": write, **load_plugins().methods})
        manager.add_model("tiny", str(tiny_base))
        yield manager


@pytest.fixture
def tiny(manager):
    return manager.model("tiny")
