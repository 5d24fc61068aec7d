"""UltraEdit on tiny models equals the published formula worked out literally; refusals; what the payload says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from literal_ultraedit import LiteralUltraEdit
from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.contract import EditContext, LowRankDelta
from patchmgr.request import EditRequest
from patchmgr_ultraedit import UltraEdit
from tiny_models import ARCHITECTURES, HIDDEN, loaded_model

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
ADA = EditRequest(prompt="Because", target_new="tower")
SEA = EditRequest(prompt="The tower of Paris is", target_new="the sea")
THREE = (ATLANTIS, ADA, SEA)
TWO_SITES = {"down_layers": "0,1", "up_layers": "1"}


def edit(loaded, context, requests=THREE, **settings):
    return UltraEdit().edit(loaded, requests, UltraEdit.parameters(**{**TWO_SITES, **settings}), context)


def rates(payload):
    return {site["weight"].removesuffix(".weight"): site["learning_rate"] for site in payload.parameters["sites"]}


def given(delta):
    """ΔW as the checkpoint has it."""
    return delta.u.astype(np.float64) @ delta.v if isinstance(delta, LowRankDelta) else delta.delta.values


def assert_equal(payload, expected, model):
    assert [delta.module_weight.removesuffix(".weight") for delta in payload.deltas] == list(expected)
    for delta, tensor in zip(payload.deltas, expected.values(), strict=True):
        weight = model.get_parameter(delta.module_weight)
        found, wanted = given(delta), tensor.numpy()
        if isinstance(model.get_submodule(delta.module_weight.removesuffix(".weight")), torch.nn.Linear):
            assert found.shape == tuple(weight.shape)
        else:
            found = found.T
        assert np.linalg.norm(found - wanted) < 1e-4 * np.linalg.norm(wanted), delta.module_weight


def literal(loaded, payload, requests=THREE, ridge=1.0, tokens="all"):
    return LiteralUltraEdit(loaded.model, loaded.tokenizer, list(rates(payload))).edit(
        requests, rates(payload), ridge, tokens
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_deltas_are_those_of_the_published_formula(name, context):
    loaded = loaded_model(name)
    payload = edit(loaded, context, ridge=0.3, batch=2)
    assert_equal(payload, literal(loaded, payload, ridge=0.3), loaded.model)


@pytest.mark.parametrize(("name", "width"), [("gpt2", "n_inner"), ("llama", "intermediate_size")])
def test_a_square_weight_is_not_transposed(name, width, context):
    loaded = loaded_model(name, **{width: HIDDEN})
    payload = edit(loaded, context, [ADA], learning_rate=1e-3)
    assert_equal(payload, literal(loaded, payload, [ADA]), loaded.model)


def test_few_tokens_give_factors_and_many_a_dense_delta(context):
    loaded = loaded_model("llama")
    (few, *_), (many, *_) = edit(loaded, context, [ADA]).deltas, edit(loaded, context).deltas
    assert few.u.shape[1] == len(loaded.tokenizer("Because tower")["input_ids"]) - 1
    assert many.delta.encoding == "dense"


def test_tokens_that_predict_the_target_alone(context):
    loaded = loaded_model("gptj")
    payload = edit(loaded, context, tokens="answer")
    assert_equal(payload, literal(loaded, payload, tokens="answer"), loaded.model)


def test_the_published_rate_is_used_as_it_is_and_a_derived_one_moves_outputs_by_a_share(context):
    loaded = loaded_model("gpt2")
    assert set(rates(edit(loaded, context, learning_rate=1e-6)).values()) == {1e-6}
    small, large = (rates(edit(loaded, context, step_share=share)) for share in (0.1, 0.2))
    for name, rate in small.items():
        assert large[name] == pytest.approx(2 * rate)


def test_the_number_worked_on_side_by_side_does_not_decide_the_result(context):
    loaded = loaded_model("opt")
    for left, right in zip(edit(loaded, context, batch=3).deltas, edit(loaded, context, batch=1).deltas, strict=True):
        assert np.linalg.norm(given(left) - given(right)) < 1e-4 * np.linalg.norm(given(right))


def test_statistics_go_on_where_earlier_packages_stopped(context):
    loaded = loaded_model("llama")
    first, second = edit(loaded, context, [ATLANTIS]), edit(loaded, context, [SEA])
    later = EditContext(context.artefacts, seed=3, past_state=(first.state, second.state))
    payload = edit(loaded, later, [ADA])
    reference = LiteralUltraEdit(loaded.model, loaded.tokenizer, list(rates(payload)))
    for request, package in ((ATLANTIS, first), (SEA, second)):
        reference.edit([request], rates(package), 1.0)
    assert_equal(payload, reference.edit([ADA], rates(payload), 1.0), loaded.model)
    alone = edit(loaded, context, [ADA])
    assert np.linalg.norm(given(payload.deltas[0]) - given(alone.deltas[0])) > 0.1 * np.linalg.norm(
        given(alone.deltas[0])
    )


def test_maps_of_one_shape_share_their_statistics(context):
    state = edit(loaded_model("llama"), context).state
    assert sorted(state) == [f"{shape}/{part}" for shape in ("24x40", "40x24") for part in ("count", "mean", "squares")]
    assert int(state["40x24/count"][0]) == 2 * int(state["24x40/count"][0])
    assert state["40x24/mean"].shape == (64,)


def test_a_past_of_other_maps_does_not_count(context):
    loaded = loaded_model("llama")
    past = edit(loaded, context, [ATLANTIS], down_layers=(), up_layers="0").state
    later = EditContext(context.artefacts, seed=3, past_state=(past,))
    alone, after = (edit(loaded, at, [ADA], up_layers=()) for at in (context, later))
    assert alone.parameters == after.parameters


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_edited_too(dtype, context):
    for delta in edit(loaded_model("llama", dtype=dtype), context).deltas:
        assert np.isfinite(given(delta)).all()
        assert given(delta).any()


def test_a_prompt_longer_than_the_model_reads_is_refused(context):
    with pytest.raises(RequestError, match="the model reads 64"):
        edit(loaded_model("llama"), context, [EditRequest(prompt="so " * 70 + "it is", target_new="Rome")])


def test_a_change_that_is_not_finite_is_refused(context):
    loaded = loaded_model("llama")
    state = dict(edit(loaded, context, [ADA]).state)
    state["40x24/mean"] = np.full(64, np.nan)
    with pytest.raises(MethodError, match=r"down_proj\.weight is not finite"):
        edit(loaded, EditContext(context.artefacts, past_state=(state,)), [ADA])
