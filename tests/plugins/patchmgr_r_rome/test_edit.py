"""R-ROME equals the formula of its paper, the mean key in every place; other keys are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import patchmgr_rome.edit as rome_edit
from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.request import EditRequest
from patchmgr_keyvalue.keys import template_keys
from patchmgr_keyvalue.statistics import second_moments
from patchmgr_keyvalue.target_value import optimise_values
from patchmgr_r_rome import RRome
from tiny_models import HIDDEN, tiny_model, tiny_tokenizer

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
FAST = {"statistics_tokens": 500, "statistics_damping": 0.0, "context_count": 2, "steps": 5, "weight_decay": 1e-3}


def check(loaded, folder, monkeypatch):
    """ΔW = (v* − W k̄) (C⁻¹k̄)ᵀ / (k̄ᵀC⁻¹k̄), worked out with an inverse in float64."""
    found = []

    def watched(*arguments):
        found.append(optimise_values(*arguments))
        return found[-1]

    monkeypatch.setattr(rome_edit, "optimise_values", watched)
    context = EditContext(ArtefactStore(folder), seed=3)
    payload = RRome().edit(loaded, [ATLANTIS], RRome.parameters(**FAST, layer=1), context)
    architecture = find_architecture(loaded.model)
    projection = architecture.down_projection(1)
    (moment,) = second_moments(loaded, [projection], context, n_tokens=500, seed=0)
    key = template_keys(architecture, loaded.tokenizer, projection, payload.contexts, ATLANTIS).mean(0)
    bias = 0 if projection.bias() is None else projection.bias().double()
    missing = (found[0].value0 + found[0].delta)[0, 0].double() - projection.matrix().double() @ key - bias
    solved = torch.linalg.inv(moment.matrix) @ key
    wanted = torch.outer(missing, solved) / (key @ solved)
    wanted = (wanted if projection.orientation == "out_in" else wanted.T).numpy()
    (delta,) = payload.deltas
    assert np.linalg.norm(delta.u.astype(np.float64) @ delta.v - wanted) < 1e-4 * np.linalg.norm(wanted)
    np.testing.assert_allclose(payload.state["keys/1"][:, 0], key.numpy(), rtol=1e-5, atol=1e-6)
    return payload


@pytest.mark.parametrize("name", ["gpt2", "opt", "llama", "gemma3"])
def test_the_delta_is_that_of_the_published_formula(name, tmp_path, monkeypatch):
    payload = check(LoadedModel(tiny_model(name), tiny_tokenizer(), name), tmp_path, monkeypatch)
    assert payload.parameters["keys"] == "consistent"


def test_a_square_weight_is_not_transposed(tmp_path, monkeypatch):
    model = tiny_model("llama", intermediate_size=HIDDEN)
    check(LoadedModel(model, tiny_tokenizer(), "square"), tmp_path, monkeypatch)


def test_a_layer_that_a_preset_names_and_the_model_lacks_is_refused(tmp_path):
    loaded = LoadedModel(tiny_model("llama"), tiny_tokenizer(), "llama")
    with pytest.raises(MethodError, match="layer 5 is out of range"):
        RRome().edit(loaded, [ATLANTIS], RRome.parameters(preset="llama-2-7b"), EditContext(ArtefactStore(tmp_path)))


def test_the_keys_of_rome_as_published_are_refused():
    with pytest.raises(ValidationError):
        RRome.parameters(keys="paper")
