"""A home with packages and states to compare, made once without torch and copied for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchmgr.manager.manager import Manager
from versions import copied, make_home


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("diff") / "root")


@pytest.fixture
def root(prepared, monkeypatch):
    with copied(prepared) as root:
        monkeypatch.setenv("PATCHMGR_HOME", str(root / "home"))
        yield root


@pytest.fixture
def manager(root):
    with Manager.open() as manager:
        yield manager
