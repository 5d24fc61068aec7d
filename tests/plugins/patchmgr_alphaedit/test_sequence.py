"""AlphaEdit in sequence: the keys of the packages that a state carries are held, and of no others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from literal_family import literal_deltas
from patchmgr.manager.manager import Manager
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.request import EditRequest
from patchmgr.testing.method_case import changed_copy
from patchmgr_alphaedit import AlphaEdit
from patchmgr_keyvalue.statistics import second_moments
from tiny_models import tiny_model, tiny_tokenizer

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")
PARIS = EditRequest(prompt="The tower of {} is", subject="Paris", target_new="sea")
VALUES = {
    "steps": 3, "learning_rate": 0.1, "weight_decay": 0.3, "clamp": 1.5, "kl_factor": 0.5, "stop_loss": 0.0
}  # fmt: skip
FAST = {**VALUES, "statistics_tokens": 200, "layers": "0-1", "null_share": 0.5, "ridge": 0.3}


def edit(loaded, requests, context):
    return AlphaEdit().edit(loaded, requests, AlphaEdit.parameters(**FAST), context)


def published(loaded, context, requests, contexts, past):
    """ΔW by layer, {[P(KKᵀ + C_past) + λ₂I]⁻¹PKRᵀ}ᵀ; the second result is C_past with the keys of these edits added."""
    projections = [find_architecture(loaded.model).down_projection(layer) for layer in (0, 1)]
    moments = second_moments(loaded, projections, context, n_tokens=200, seed=0)
    after = {}

    def update(layer, K, R):
        values, vectors = torch.linalg.eigh(moments[layer].matrix)
        U = vectors[:, values.cumsum(0) <= 0.5 * values.sum()]
        after[layer] = past.get(layer, 0) + K @ K.T
        system = U @ U.T @ after[layer] + 0.3 * torch.eye(len(K)).double()
        return torch.linalg.solve(system, U @ U.T @ K @ R.T).T

    return literal_deltas(loaded.model, loaded.tokenizer, [0, 1], contexts, requests, VALUES, update), after


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_second_package_holds_what_the_first_one_changed(name, tmp_path):
    context = EditContext(ArtefactStore(tmp_path), seed=3)
    base = LoadedModel(tiny_model(name), tiny_tokenizer(), "base")
    first = edit(base, [ATLANTIS, ADA], context)
    _, past = published(base, context, [ATLANTIS, ADA], first.contexts, {})
    edited = LoadedModel(changed_copy(base.model, first), base.tokenizer, "edited")
    other = {"something/else": np.zeros(3, np.float32)}
    after = dataclasses.replace(context, past_state=(other, first.state))
    second = edit(edited, [PARIS], after)
    expected, _ = published(edited, context, [PARIS], second.contexts, past)
    unaware = edit(edited, [PARIS], context)
    for layer, delta in enumerate(second.deltas):
        orientation = find_architecture(base.model).down_projection(layer).orientation
        wanted = (expected[layer] if orientation == "out_in" else expected[layer].T).numpy()
        assert np.linalg.norm(delta.u.astype(np.float64) @ delta.v - wanted) < 1e-4 * np.linalg.norm(wanted)
        forgetful = unaware.deltas[layer].u @ unaware.deltas[layer].v
        assert np.linalg.norm(forgetful - wanted) > 1e-2 * np.linalg.norm(wanted)


def test_a_later_package_of_a_registry_holds_the_keys_of_those_that_are_applied(home, tmp_path):
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)

    def fact(subject):
        return {"prompt": "The capital of {} is", "subject": subject, "target_new": "Rome"}

    def make(name, *subjects):
        requests = [fact(subject) for subject in subjects]
        version = tiny.edit(name, requests, method="alphaedit", **FAST).version
        sites = manager.show(version.reference).manifest.method.parameters["sites"]
        return [site["past_keys"] for site in sites]

    with Manager.open() as manager:
        manager.add_model("tiny", str(tmp_path))
        tiny = manager.model("tiny")
        assert make("first", "Atlantis", "Paris") == [0, 0]
        tiny.apply("first")
        assert make("second", "France") == [2, 2]
        tiny.apply("second")
        assert make("third", "Spain") == [3, 3]
        tiny.revert("first", cascade=True)  # the second was made upon it
        assert make("fourth", "Spain") == [0, 0]
