"""Two packages in sequence through a registry: the second goes on with the statistics that the first kept."""

from __future__ import annotations

import numpy as np
import pytest

from literal_ultraedit import LiteralUltraEdit
from patchmgr.demo.edits import edit_requests
from patchmgr.manager.manager import Manager
from patchmgr.manager.states import open_version
from patchmgr.request import parse_request

RATE, SITE = 1e-3, "transformer.h.4.mlp.c_proj"


@pytest.fixture
def manager(tmp_path):
    with Manager.open(tmp_path / "registry") as manager:
        manager.add_model("atlas", "demo:atlas")
        yield manager


def written(manager, result):
    """ΔW (d_out, d_in) as the package holds it; the weight is a Conv1D's."""
    (delta,) = open_version(manager, result.version).deltas(manager.plugins.encodings).values()
    return (delta.u.astype(np.float64) @ delta.v).T


def test_two_packages_in_sequence_are_the_published_run(manager):
    atlas = manager.model("atlas")
    reference = LiteralUltraEdit(*atlas.load(dtype="float32"), [SITE])
    for name, request in zip(("first", "second"), edit_requests(2, seed=0), strict=True):
        result = atlas.edit(name, [request], method="ultraedit", learning_rate=RATE, down_layers="4")
        reference.on(atlas.load(dtype="float32")[0])
        expected = reference.edit([parse_request(request, where="demo")], {SITE: RATE}, 1.0)[SITE].numpy()
        found = written(manager, result)
        assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected), name
        atlas.apply(f"{name}@v1")
    manifest = open_version(manager, result.version).manifest
    tokens = manifest.method.parameters["sites"][0]["tokens_so_far"]
    assert tokens == reference.running[512, 128][0]
