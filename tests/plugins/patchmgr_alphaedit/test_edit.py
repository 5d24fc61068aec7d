"""AlphaEdit on tiny models equals the published formula worked out literally."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import patchmgr_alphaedit.edit as alphaedit_edit
from literal_family import literal_deltas
from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr_alphaedit import AlphaEdit
from patchmgr_keyvalue.statistics import second_moments
from tiny_models import ARCHITECTURES, HIDDEN, INNER, loaded_model

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")
VALUES = {
    "steps": 3, "learning_rate": 0.1, "weight_decay": 0.3, "clamp": 1.5, "kl_factor": 0.5, "stop_loss": 0.0
}  # fmt: skip
FAST = {**VALUES, "statistics_tokens": 200, "layers": "0-1"}
RIDGE = 0.3


def edit(loaded, context, requests=(ATLANTIS, ADA), **settings):
    return AlphaEdit().edit(loaded, requests, AlphaEdit.parameters(**{**FAST, **settings}), context)


def check(loaded, context, quantile=0.6):
    """ΔW = {[P K Kᵀ + λ₂I]⁻¹ P K Rᵀ}ᵀ with P by SVD, as published; returns the payload."""
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in (0, 1)]
    moments = second_moments(loaded, projections, context, n_tokens=200, seed=0)
    limit = float(torch.linalg.eigvalsh(moments[0].matrix).quantile(quantile))
    requests = (ATLANTIS, ADA)
    payload = edit(loaded, context, requests, threshold=limit, ridge=RIDGE)

    def update(layer, K, R):
        U, S, _ = torch.linalg.svd(moments[layer].matrix)
        P = U[:, limit > S] @ U[:, limit > S].T
        system = P @ K @ K.T + RIDGE * torch.eye(len(K)).double()
        return torch.linalg.solve(system, P @ K @ R.T).T

    wanted = literal_deltas(loaded.model, loaded.tokenizer, [0, 1], payload.contexts, requests, VALUES, update)
    for delta, layer, projection in zip(payload.deltas, (0, 1), projections, strict=True):
        expected = (wanted[layer] if projection.orientation == "out_in" else wanted[layer].T).numpy()
        distance = np.linalg.norm(delta.u.astype(np.float64) @ delta.v - expected)
        assert distance < 1e-4 * np.linalg.norm(expected), delta.module_weight
    return payload


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_deltas_are_those_of_the_published_formula(name, context):
    payload = check(loaded_model(name), context)
    assert [(delta.u.shape[1], delta.v.shape[0]) for delta in payload.deltas] == [(2, 2)] * 2


def test_a_square_weight_is_not_transposed(context):
    check(loaded_model("llama", intermediate_size=HIDDEN), context)


def test_a_null_space_larger_than_what_it_leaves_out_is_the_same_formula(context):
    payload = check(loaded_model("gpt2"), context, quantile=0.95)
    assert payload.parameters["sites"][0]["directions"] > INNER / 2


def test_the_payload_says_what_was_derived(context):
    payload = edit(loaded_model("gpt2"), context, null_share=0.5, ridge_share=0.5)
    assert [site["layer"] for site in payload.parameters["sites"]] == [0, 1]
    assert all(site["ridge"] > 0 and 0 < site["directions"] < INNER for site in payload.parameters["sites"])
    assert {name: array.shape for name, array in payload.state.items()} == {"keys/0": (INNER, 2), "keys/1": (INNER, 2)}


def test_the_null_space_of_a_layer_is_decomposed_once(context, monkeypatch):
    loaded = loaded_model("gpt2")
    first = edit(loaded, context)
    monkeypatch.setattr(alphaedit_edit, "null_space", None)
    again = edit(loaded, context)
    assert [delta.v.tolist() for delta in again.deltas] == [delta.v.tolist() for delta in first.deltas]
    with pytest.raises(TypeError, match="not callable"):
        edit(loaded, context, null_share=0.5)


def test_a_model_without_a_null_space_is_refused(context):
    with pytest.raises(MethodError, match="has no null space"):
        edit(loaded_model("gpt2"), context, threshold=1e-12)


def test_a_layer_that_a_preset_names_and_the_model_lacks_is_refused(context):
    with pytest.raises(MethodError, match="layer 4 is out of range"):
        edit(loaded_model("llama"), context, **AlphaEdit.parameters.presets["llama-3-8b"])
