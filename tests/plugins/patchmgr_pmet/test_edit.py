"""PMET on tiny models equals the published code worked out literally; what stops it, what the payload says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from literal_family import literal_deltas
from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr_keyvalue.attention import attention_of
from patchmgr_keyvalue.statistics import second_moments
from patchmgr_pmet import Pmet
from tiny_models import ARCHITECTURES, HIDDEN, INNER, loaded_model, tiny_model

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")
PARIS = EditRequest(prompt="The tower of {} is", subject="Paris", target_new="sea")
THREE = (ATLANTIS, ADA, PARIS)
VALUES = {
    "steps": 4, "learning_rate": 0.1, "weight_decay": 0.05, "clamp": 1.5, "kl_factor": 0.5, "stop_loss": 0.0,
    "sure_weight": 0.1, "sure_drift": 0.01,
}  # fmt: skip
FAST = {**VALUES, "statistics_tokens": 200, "statistics_damping": 0.01, "layers": "0-1", "covariance_weight": 0.7}
OUT_PROJECTIONS = ("c_proj", "out_proj", "o_proj", "dense")
"""The published code names the module in a file for every model."""


def edit(loaded, context, requests=THREE, **settings):
    return Pmet().edit(loaded, requests, Pmet.parameters(**{**FAST, **settings}), context)


def published_sites(model, layer):
    """The attention's output projection, by name, and the MLP's."""
    architecture = find_architecture(model)
    block = architecture.blocks[layer]
    (attention,) = [
        module
        for name, module in block.named_modules()
        if name.rpartition(".")[2] in OUT_PROJECTIONS and "mlp" not in name
    ]
    return [attention, architecture.down_projection(layer).module]


def assert_published(loaded, context, payload, values=VALUES, requests=THREE):
    """The deltas are those of the literal reference within 1e-4."""
    architecture = find_architecture(loaded.model)
    layers = [site["layer"] for site in payload.parameters["sites"]]
    projections = [architecture.down_projection(layer) for layer in layers]
    moments = second_moments(loaded, projections, context, n_tokens=200, seed=0)
    damped = [C.matrix + 0.01 * C.matrix.trace() / len(C.matrix) * torch.eye(len(C.matrix)).double() for C in moments]

    def update(layer, K, R):
        return R @ torch.linalg.solve(0.7 * damped[layers.index(layer)] + K @ K.T, K).T

    deltas = literal_deltas(
        loaded.model, loaded.tokenizer, layers, payload.contexts, requests, values, update, published_sites, math.sqrt
    )
    assert [delta.module_weight for delta in payload.deltas] == [projection.weight_name for projection in projections]
    for delta, projection, layer in zip(payload.deltas, projections, layers, strict=True):
        wanted = (deltas[layer] if projection.orientation == "out_in" else deltas[layer].T).numpy()
        assert np.linalg.norm(delta.u.astype(np.float64) @ delta.v - wanted) < 1e-4 * np.linalg.norm(wanted)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_deltas_are_those_of_the_published_code(name, context):
    loaded = loaded_model(name)
    assert_published(loaded, context, edit(loaded, context, batch=2))


def test_a_square_weight_is_not_transposed(context):
    loaded = loaded_model("llama", intermediate_size=HIDDEN)
    assert_published(loaded, context, edit(loaded, context))


def test_only_down_projections_change_and_both_decays_are_told(context):
    payload = edit(loaded_model("gpt2"), context, learning_rate=None, weight_decay=None)
    assert [(delta.u.shape, delta.v.shape) for delta in payload.deltas] == [((INNER, 3), (3, HIDDEN))] * 2
    assert all("mlp" in delta.module_weight for delta in payload.deltas)
    assert [len(scales["weight_decay"]) for scales in payload.parameters["scales"]] == [2, 2, 2]
    assert set(payload.artefacts) == {"covariance/0", "covariance/1"}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_attention_of_a_block_is_the_module_that_holds_the_named_projection(name):
    model = tiny_model(name)
    attention = attention_of(find_architecture(model), 1)
    assert published_sites(model, 1)[0] in list(attention.modules())


def test_a_block_with_two_attentions_is_refused_by_name():
    model = tiny_model("llama")
    block = model.model.layers[1]
    block.cross_attn = block.self_attn
    architecture = find_architecture(model)
    assert attention_of(architecture, 0) is model.model.layers[0].self_attn
    block._modules["cross_attn"] = tiny_model("llama").model.layers[1].self_attn
    with pytest.raises(MethodError, match=r"model\.layers\.1 has 2 attentions"):
        attention_of(architecture, 1)
