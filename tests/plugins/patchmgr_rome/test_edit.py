"""ROME on tiny models: W'k* = v* in both orientations, several edits as one delta, dtypes, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import patchmgr_rome.edit as rome_edit
from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.contract import LoadedModel
from patchmgr.request import EditRequest
from patchmgr.testing.method_case import changed_copy
from patchmgr_keyvalue.keys import template_keys
from patchmgr_keyvalue.target_value import optimise_values
from patchmgr_rome import Rome
from tiny_models import ARCHITECTURES, HIDDEN, INNER, tiny_model, tiny_tokenizer

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="tower")
FAST = {"statistics_tokens": 500, "context_count": 2, "steps": 5, "weight_decay": 1e-3}


@pytest.fixture
def found_values(monkeypatch):
    """v* of every edit, as the optimisation found it."""
    found = []

    def watched(*arguments):
        values = optimise_values(*arguments)
        found.append((values.value0 + values.delta)[0, 0].double())
        return values

    monkeypatch.setattr(rome_edit, "optimise_values", watched)
    return found


def loaded_model(name, dtype=torch.float32):
    return LoadedModel(tiny_model(name, dtype=dtype), tiny_tokenizer(), name)


def edit(loaded, context, requests=(ATLANTIS,), **settings):
    return Rome().edit(loaded, requests, Rome.parameters(**{**FAST, **settings}), context)


def value_after(loaded, payload, key):
    """W'k + b in float64, with the delta added to the weight as it lies in the checkpoint."""
    (delta,) = payload.deltas
    module = loaded.model.get_submodule(delta.module_weight.removesuffix(".weight"))
    weight = module.weight.detach().double() + torch.from_numpy(delta.u.astype(np.float64) @ delta.v)
    matrix = weight if isinstance(module, torch.nn.Linear) else weight.T
    return matrix @ key + (0 if module.bias is None else module.bias.detach().double())


@pytest.mark.parametrize("keys", ["paper", "consistent"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_edited_weight_gives_the_optimised_value_for_the_key(name, keys, context, found_values):
    loaded = loaded_model(name)
    payload = edit(loaded, context, keys=keys, layer=1)
    architecture = find_architecture(loaded.model)
    projection = architecture.down_projection(1)
    read = template_keys(architecture, loaded.tokenizer, projection, payload.contexts, ATLANTIS)
    key = read[0] if keys == "paper" else read.mean(0)
    value = value_after(loaded, payload, key)
    torch.testing.assert_close(value, found_values[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(payload.state["keys/1"]), key.float().unsqueeze(1))


def test_several_requests_are_one_delta_each_made_on_those_before(context, found_values):
    loaded = loaded_model("llama")
    plain = {"keys": "consistent", "context_count": 0}  # texts sampled from another state would be others
    both = edit(loaded, context, [ATLANTIS, ADA], **plain)
    (delta,) = both.deltas
    assert (delta.u.shape, delta.v.shape) == ((HIDDEN, 2), (2, INNER))
    first = edit(loaded, context, [ATLANTIS], **plain)
    on_first = LoadedModel(changed_copy(loaded.model, first), loaded.tokenizer, loaded.state_root)
    second = edit(on_first, context, [ADA], **plain)
    for index, alone in enumerate((first, second)):
        product = np.outer(delta.u[:, index], delta.v[index])
        np.testing.assert_allclose(product, alone.deltas[0].u @ alone.deltas[0].v, rtol=1e-3, atol=1e-4)
    key = torch.from_numpy(both.state["keys/0"][:, 1]).double()
    torch.testing.assert_close(value_after(loaded, both, key), found_values[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_other_dtypes_are_edited_too(name, dtype, context):
    payload = edit(loaded_model(name, dtype), context)
    (delta,) = payload.deltas
    assert delta.u.dtype == delta.v.dtype == np.float32
    assert np.isfinite(delta.u @ delta.v).all()
    assert np.abs(delta.u).max() > 0


def test_the_payload_says_what_was_used(context):
    payload = edit(loaded_model("gpt2"), context)
    assert payload.parameters["layer"] == 0
    assert payload.parameters["statistics_key"]["tensor"] == "transformer.h.0.mlp.c_proj.weight"
    assert payload.parameters["steps"] == 5
    assert payload.contexts[0] == "{}"
    assert len(payload.contexts) == 5
    (digest,) = payload.artefacts.values()
    assert len(digest) == 64


def test_identity_statistics_need_no_artefact(context):
    payload = edit(loaded_model("gpt2"), context, statistics="identity")
    assert payload.artefacts == {}
    assert payload.parameters["statistics_key"] is None
    assert not context.artefacts.folder.exists()


def test_a_text_file_decides_the_statistics(context, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("Rome lies in Italy and Paris lies in France.\n" * 50, encoding="utf-8")
    loaded = loaded_model("gpt2")
    own, given = edit(loaded, context), edit(loaded, dataclasses.replace(context, corpus=path))
    assert own.artefacts != given.artefacts
    assert "corpus" in given.parameters["statistics_key"]["source"]


def test_the_seed_decides_the_contexts_but_not_the_statistics(context):
    loaded = loaded_model("gpt2")
    first, second = edit(loaded, context), edit(loaded, dataclasses.replace(context, seed=4))
    assert first.contexts != second.contexts
    assert first.artefacts == second.artefacts


def test_progress_counts_the_steps_of_all_edits(context):
    told = []
    watched = dataclasses.replace(context, progress=lambda *what: told.append(what))
    edit(loaded_model("gpt2"), watched, [ATLANTIS, ADA], statistics="identity", stop_loss=0.0)
    assert told[0] == (0, 10, "edit 1 of 2")
    assert told[-1] == (9, 10, "edit 2 of 2")


def test_a_request_without_subject_is_refused_before_anything_is_computed(context):
    loaded = LoadedModel(None, None, "never looked at")
    with pytest.raises(RequestError, match="request 'bare' has no subject"):
        edit(loaded, context, [ATLANTIS, EditRequest(prompt="It is", target_new="so", id="bare")])


def test_a_layer_out_of_range_is_refused(context):
    with pytest.raises(MethodError, match="layer 3 is out of range"):
        edit(loaded_model("gpt2"), context, layer=3)


def test_a_change_that_is_not_finite_is_refused(context, monkeypatch):
    monkeypatch.setattr(rome_edit, "update_length", lambda *_: torch.full((HIDDEN,), float("nan")).double())
    with pytest.raises(MethodError, match=r"The capital of Atlantis is.*is not finite"):
        edit(loaded_model("gpt2"), context)


def test_statistics_of_too_few_tokens_are_refused_without_damping(context, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("Rome lies", encoding="utf-8")
    short = dataclasses.replace(context, corpus=path)
    with pytest.raises(MethodError, match="cannot be inverted"):
        edit(loaded_model("opt"), short, statistics_damping=0.0)
    assert edit(loaded_model("opt"), short).deltas
