"""What tests of methods begin with."""

from __future__ import annotations

import pytest

from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext


@pytest.fixture
def context(tmp_path):
    """An empty artefact store and seed 3."""
    return EditContext(ArtefactStore(tmp_path / "artefacts"), seed=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training that nothing interrupts."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def seen():
    """What that training reports, by step."""
    return {}


@pytest.fixture(scope="module")
def uninterrupted(trained, short, whole, seen):
    return trained(whole, **short, report=seen.setdefault)
