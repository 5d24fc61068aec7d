"""What tests of methods begin with."""

from __future__ import annotations

import pytest

from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext


@pytest.fixture
def context(tmp_path):
    """An empty artefact store and seed 3."""
    return EditContext(ArtefactStore(tmp_path / "artefacts"), seed=3)
