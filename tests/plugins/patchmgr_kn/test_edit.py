"""The method finds the neurons of a literal implementation and writes what it writes; refusals; what a payload says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from literal_neurons import literal_columns, literal_scores
from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.contract import LowRankDelta
from patchmgr.request import EditRequest
from patchmgr_kn import Kn
from patchmgr_kn.attribution import scores_of_prompts
from patchmgr_kn.questions import ask
from patchmgr_kn.suffix import Suffixes
from tiny_models import ARCHITECTURES, HIDDEN, INNER, loaded_model

ROME = EditRequest(prompt="It is {}", subject="Rome", target_new="the", target_true="in the")
IT = EditRequest(prompt="So it is", target_new="in")
TOWER = EditRequest(prompt="The tower is", target_new="in the", rephrasings=("There the tower is", "It is in"))
THREE = (ROME, IT, TOWER)
EDITABLE = [name for name in ARCHITECTURES if name != "opt_post_norm"]
STEPS = 3


def edit(loaded, context, requests=THREE, **settings):
    return Kn().edit(
        loaded, requests, Kn.parameters(**{"steps": STEPS, "new_weight": 2, "old_weight": 2, **settings}), context
    )


def literal(loaded, request, text=None):
    text, n_tokens = text or request.text, len(loaded.tokenizer(f" {request.target_new}")["input_ids"])
    return literal_scores(loaded.model, loaded.tokenizer, text, request.target_true, n_tokens, STEPS)


def matrices(payload, loaded):
    """ΔW (d_out, d_in) by weight name."""
    found = {}
    for delta in payload.deltas:
        if isinstance(delta, LowRankDelta):
            found[delta.module_weight] = (delta.u @ delta.v).T
        else:
            found[delta.module_weight] = delta.delta.block(0, delta.delta.shape[0])
    return found


def assert_written(payload, loaded, requests, threshold, settings):
    architecture = find_architecture(loaded.model)
    names = [architecture.down_projection(layer).weight_name for layer in range(len(architecture.blocks))]
    expected = dict.fromkeys(names, 0)
    for request, neurons in zip(requests, payload.parameters["neurons"], strict=True):
        scores = literal(loaded, request)
        above = scores > threshold * scores.max()
        assert [tuple(index) for index in above.nonzero().tolist()] == [tuple(neuron) for neuron in neurons]
        for name, own in zip(
            names, literal_columns(loaded.model, loaded.tokenizer, request, above, settings), strict=True
        ):
            expected[name] = expected[name] + own
    found = matrices(payload, loaded)
    for name, own in expected.items():
        np.testing.assert_allclose(found.get(name, np.zeros(own.shape)), own.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EDITABLE)
def test_the_neurons_and_what_is_written_are_those_of_the_literal_implementation(name, context):
    loaded = loaded_model(name)
    payload = edit(loaded, context, threshold=0.3, batch=2)
    assert_written(payload, loaded, THREE, 0.3, Kn.parameters(new_weight=2, old_weight=2))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_square_weight_is_not_transposed(name, context):
    loaded = loaded_model(name, **{{"gpt2": "n_inner", "llama": "intermediate_size"}[name]: HIDDEN})
    payload = edit(loaded, context, old_weight=1, new_weight=8)
    assert_written(payload, loaded, THREE, 0.2, Kn.parameters(old_weight=1, new_weight=8))


def test_scores_are_integrated_gradients_of_whole_passes():
    loaded = loaded_model("gemma2")
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in range(len(architecture.blocks))]
    questions = ask(loaded.model, loaded.tokenizer, THREE, refine=False).questions
    found = scores_of_prompts(architecture, projections, questions, steps=STEPS, batch=3, progress=lambda *_: None)
    for own, request in zip(found, THREE, strict=True):
        expected = literal(loaded, request).flatten().float()
        assert float((own - expected).norm()) < 1e-4 * float(expected.norm())


@pytest.mark.parametrize("name", EDITABLE)
def test_only_the_last_token_is_run_again(name):
    loaded = loaded_model(name)
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in range(len(architecture.blocks))]
    assert not Suffixes(architecture, projections, torch.tensor([[5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 3]])).whole


def test_a_model_whose_suffix_says_something_else_is_run_whole(context, monkeypatch):
    loaded = loaded_model("llama")
    expected = edit(loaded, context)
    monkeypatch.setattr(Suffixes, "_same", lambda *_: False)
    found = edit(loaded, context)
    assert found.parameters == expected.parameters


def test_one_step_is_the_gradient_at_nothing(context):
    loaded = loaded_model("llama")
    scores = literal_scores(loaded.model, loaded.tokenizer, ROME.text, ROME.target_true, 2, 1)
    above = (scores > 0.2 * scores.max()).nonzero().tolist()
    assert edit(loaded, context, [ROME], steps=1).parameters["neurons"] == [above]


def test_refining_keeps_what_the_rephrasings_share(context):
    loaded = loaded_model("llama")
    found = []
    for text in (TOWER.text, *TOWER.rephrasings):
        scores = literal(loaded, TOWER, text)
        found.append(scores > 0.2 * scores.max())
    counts = torch.stack(found).sum(0)
    for share, least in ((0.4, 2), (0.0, 1)):
        payload = edit(loaded, context, [TOWER], refine=True, share=share)
        assert payload.parameters["neurons"] == [(counts >= least).nonzero().tolist()]


def test_a_request_without_rephrasings_keeps_all_its_neurons_when_refined(context):
    loaded = loaded_model("llama")
    assert (
        edit(loaded, context, [IT], refine=True).parameters["neurons"]
        == edit(loaded, context, [IT]).parameters["neurons"]
    )


def test_refusing_where_no_neuron_is_shared(context):
    with pytest.raises(MethodError, match="no neuron answers for 'The tower is'"):
        edit(loaded_model("llama"), context, [TOWER], refine=True, share=0.9, threshold=0.95)


def test_a_package_is_the_sum_of_its_edits(context):
    loaded = loaded_model("gpt_neox")
    together = matrices(edit(loaded, context), loaded)
    alone = [matrices(edit(loaded, context, [request]), loaded) for request in THREE]
    for name, delta in together.items():
        np.testing.assert_allclose(delta, sum(each.get(name, 0) for each in alone), rtol=1e-6, atol=1e-6)


def test_the_number_worked_on_side_by_side_does_not_decide_the_result(context):
    loaded = loaded_model("opt")
    together, alone = edit(loaded, context, batch=8), edit(loaded, context, batch=1)
    assert {**together.parameters, "batch": 0} == {**alone.parameters, "batch": 0}


def test_columns_of_a_linear_and_low_rank_of_a_conv1d(context):
    (first, *_) = edit(loaded_model("llama"), context).deltas
    assert first.delta.shape == (HIDDEN, INNER)
    assert first.delta.values.shape == (HIDDEN, len(first.delta.indices))
    (first, *_) = edit(loaded_model("gpt2"), context).deltas
    assert (first.u.shape[0], first.v.shape[1]) == (INNER, HIDDEN)
    assert set(np.unique(first.u)) <= {0.0, 1.0}


def test_embeddings_of_another_width_are_refused(context):
    with pytest.raises(MethodError, match="are 16 wide and its blocks 24"):
        edit(loaded_model("opt_post_norm"), context)


def test_a_prompt_longer_than_the_model_reads_is_refused(context):
    with pytest.raises(RequestError, match="the model reads 64"):
        edit(loaded_model("llama"), context, [EditRequest(prompt="so " * 70 + "it is", target_new="Rome")])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_edited_too(dtype, context):
    for delta in edit(loaded_model("llama", dtype=dtype), context).deltas:
        assert np.isfinite(delta.delta.values).all()
        assert delta.delta.values.any()


def test_progress_counts_over_all_requests(context):
    told = []
    edit(loaded_model("gpt2"), dataclasses.replace(context, progress=lambda *what: told.append(what)), batch=2)
    shares = [done / total for done, total, _ in told]
    assert shares == sorted(shares)
    assert 0 == shares[0] < shares[-1] < 1


def test_a_derived_weight_makes_words_as_long_as_what_neurons_say(context):
    loaded = loaded_model("llama")
    used = edit(loaded, context, new_weight=None, old_weight=None, weight_share=0.5).parameters
    columns = [block.mlp.down_proj.weight.detach().norm(dim=0).mean() for block in loaded.model.model.layers]
    words = loaded.model.get_input_embeddings().weight.detach().norm(dim=1).mean()
    assert used["new_weight"] == used["old_weight"] == pytest.approx(float(0.5 * sum(columns) / 3 / words))
