"""MEMIT on tiny models equals the published formula worked out literally; refusals, progress, what the payload says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from literal_family import literal_deltas
from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.contract import LoadedModel
from patchmgr.request import EditRequest
from patchmgr_keyvalue.contexts import FIRST_WORDS
from patchmgr_keyvalue.statistics import second_moments
from patchmgr_memit import Memit
from tiny_models import ARCHITECTURES, HIDDEN, INNER, loaded_model

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")
PARIS = EditRequest(prompt="The tower of {} is", subject="Paris", target_new="sea")
THREE = (ATLANTIS, ADA, PARIS)
VALUES = {
    "steps": 4, "learning_rate": 0.1, "weight_decay": 0.3, "clamp": 1.5, "kl_factor": 0.5, "stop_loss": 0.0
}  # fmt: skip
FAST = {**VALUES, "statistics_tokens": 200, "statistics_damping": 0.01, "layers": "0-1"}


def edit(loaded, context, requests=THREE, **settings):
    return Memit().edit(loaded, requests, Memit.parameters(**{**FAST, **settings}), context)


def published(loaded, context, payload, weight):
    """ΔW of every layer by eq. 14 with matrices of d_in, in the orientation of the checkpoint."""
    layers = [site["layer"] for site in payload.parameters["sites"]]
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in layers]
    moments = second_moments(loaded, projections, context, n_tokens=200, seed=0)
    damped = [C.matrix + 0.01 * C.matrix.trace() / len(C.matrix) * torch.eye(len(C.matrix)).double() for C in moments]

    def update(layer, K, R):
        C = damped[layers.index(layer)]
        return R @ torch.linalg.solve(weight(layer) * C + K @ K.T, K).T

    deltas = literal_deltas(loaded.model, loaded.tokenizer, layers, payload.contexts, THREE, VALUES, update)
    wide = [
        deltas[layer] if p.orientation == "out_in" else deltas[layer].T
        for layer, p in zip(layers, projections, strict=True)
    ]
    return dict(zip((p.weight_name for p in projections), wide, strict=True))


def assert_equal(payload, expected):
    assert [delta.module_weight for delta in payload.deltas] == list(expected)
    for delta in payload.deltas:
        wanted = expected[delta.module_weight].numpy()
        distance = np.linalg.norm(delta.u.astype(np.float64) @ delta.v - wanted) / np.linalg.norm(wanted)
        assert distance < 1e-4, delta.module_weight


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_deltas_are_those_of_the_published_formula(name, context):
    loaded = loaded_model(name)
    payload = edit(loaded, context, covariance_weight=0.7, batch=2)
    assert_equal(payload, published(loaded, context, payload, lambda _layer: 0.7))


def test_a_square_weight_is_not_transposed(context):
    loaded = loaded_model("llama", intermediate_size=HIDDEN)
    payload = edit(loaded, context, covariance_weight=0.7)
    assert payload.deltas[0].u.shape[0] == payload.deltas[0].v.shape[1] == HIDDEN
    assert_equal(payload, published(loaded, context, payload, lambda _layer: 0.7))


def test_the_derived_weight_is_a_share_of_how_unusual_the_keys_are(context):
    loaded = loaded_model("gpt2")
    payload = edit(loaded, context, covariance_share=0.25)
    used = {site["layer"]: site["covariance_weight"] for site in payload.parameters["sites"]}
    assert_equal(payload, published(loaded, context, payload, used.__getitem__))
    projection = find_architecture(loaded.model).down_projection(0)
    (moment,) = second_moments(loaded, [projection], context, n_tokens=200, seed=0)
    C = moment.matrix + 0.01 * moment.matrix.trace() / INNER * torch.eye(INNER).double()
    K = torch.from_numpy(payload.state["keys/0"]).double()
    unusual = torch.stack([k @ torch.linalg.inv(C) @ k for k in K.T])
    assert used[0] == pytest.approx(0.25 * float(unusual.mean()), rel=1e-4)


def test_the_number_worked_on_side_by_side_does_not_decide_the_result(context):
    loaded = loaded_model("opt")
    together, alone = edit(loaded, context, batch=3), edit(loaded, context, batch=1)
    for left, right in zip(together.deltas, alone.deltas, strict=True):
        difference = np.linalg.norm(left.u @ left.v - right.u @ right.v)
        assert difference < 1e-4 * np.linalg.norm(right.u @ right.v)


def test_a_delta_has_the_rank_of_the_edits_and_the_payload_says_what_was_used(context):
    payload = edit(loaded_model("gpt2"), context, learning_rate=None, weight_decay=None)
    assert [(delta.u.shape, delta.v.shape) for delta in payload.deltas] == [((INNER, 3), (3, HIDDEN))] * 2
    assert {name: array.shape for name, array in payload.state.items()} == {
        "keys/0": (INNER, 3),
        "keys/1": (INNER, 3),
    }
    assert [site["layer"] for site in payload.parameters["sites"]] == [0, 1]
    assert len(payload.parameters["scales"]) == 3
    assert set(payload.artefacts) == {"covariance/0", "covariance/1"}
    assert payload.contexts[0] == "{}"
    assert all(text.startswith(word) for text, word in zip(payload.contexts[1:], FIRST_WORDS, strict=True))


def test_identity_statistics_need_no_artefact(context):
    payload = edit(loaded_model("gpt2"), context, statistics="identity")
    assert payload.artefacts == {}
    assert not context.artefacts.folder.exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_edited_too(dtype, context):
    payload = edit(loaded_model("llama", dtype=dtype), context)
    assert all(np.isfinite(delta.u @ delta.v).all() and delta.u.any() for delta in payload.deltas)


def test_progress_ends_with_the_last_layer(context):
    told = []
    edit(loaded_model("gpt2"), dataclasses.replace(context, progress=lambda *what: told.append(what)), batch=2)
    values = [what for what in told if what[2] == "looking for values"]
    assert (values[0][:2], values[-1][:2]) == ((0, 8), (7, 8))
    assert told[-1] == (1, 2, "layer 1")


def test_a_request_without_subject_is_refused_before_anything_is_computed(context):
    with pytest.raises(RequestError, match="request 'bare' has no subject"):
        edit(
            LoadedModel(None, None, "never looked at"),
            context,
            [EditRequest(prompt="It is", target_new="so", id="bare")],
        )


@pytest.mark.parametrize(("layers", "message"), [("0,3", "layer 3 is out of range"), ("1,1", "are not different")])
def test_layers_that_cannot_be_are_refused(layers, message, context):
    with pytest.raises(MethodError, match=message):
        edit(loaded_model("gpt2"), context, layers=layers)


def test_a_change_that_is_not_finite_is_refused(context, monkeypatch):
    monkeypatch.setattr("patchmgr_memit.edit.update_keys", lambda Y, *_: torch.full_like(Y.T, float("nan")))
    with pytest.raises(MethodError, match=r"h\.0\.mlp\.c_proj\.weight is not finite"):
        edit(loaded_model("gpt2"), context)
