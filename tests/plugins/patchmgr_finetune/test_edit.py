"""FT-L and FT-M equal the published loop, step by step; what stops them; refusals; what the payload says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from literal_finetune import literal_deltas
from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr.testing import tiny_seq2seq
from patchmgr_finetune import FtL, FtM
from tiny_models import ARCHITECTURES, HIDDEN, loaded_model

THREE = (
    EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),
    EditRequest(prompt="Because of Ada Lovelace", target_new="the machine"),
    EditRequest(prompt="It is", target_new="so"),
)
METHODS = {"ft-l": FtL(), "ft-m": FtM()}
RATE = 1e-3


def edit(method, loaded, context, requests=THREE, **settings):
    parameters = METHODS[method].parameters(**{"steps": 2, "learning_rate": RATE, "batch": 2, **settings})
    return METHODS[method].edit(loaded, requests, parameters, context)


def assert_literal(method, loaded, context, layers=(1,), rounds=(2,), **settings):
    """After so many rounds the method has what the published loop has."""
    architecture = find_architecture(loaded.model, encoder_decoder=True)
    names = [architecture.down_projection(layer).weight_name for layer in layers]
    given = {"steps": rounds[-1], "batch": 2, "learning_rate": RATE, **settings}
    history = literal_deltas(loaded, names, THREE, method=method, **given)
    per_round = -(-len(THREE) // given["batch"])
    assert len(history) == given["steps"] * per_round
    for steps in rounds:
        payload = edit(method, loaded, context, layers=",".join(map(str, layers)), **{**given, "steps": steps})
        assert [delta.module_weight for delta in payload.deltas] == names
        for delta in payload.deltas:
            wanted = history[steps * per_round - 1][delta.module_weight].numpy()
            distance = np.linalg.norm(delta.delta.values - wanted) / np.linalg.norm(wanted)
            assert distance < 1e-4, (steps, delta.module_weight, distance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_delta_is_that_of_the_published_loop(name, method, context):
    assert_literal(method, loaded_model(name), context)


@pytest.mark.parametrize("method", METHODS)
def test_every_step_is_that_of_the_published_loop(method, context):
    assert_literal(method, loaded_model("qwen3"), context, batch=3, rounds=range(1, 6))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gated", [False, True])
def test_the_delta_is_that_of_the_published_loop_on_an_encoder_decoder(gated, method, context):
    assert_literal(method, tiny_seq2seq(gated=gated), context)


def test_a_square_weight_is_not_transposed(context):
    assert_literal("ft-m", loaded_model("llama", intermediate_size=HIDDEN), context)
    assert_literal("ft-m", loaded_model("gpt2", n_inner=HIDDEN), context)


@pytest.mark.parametrize("method", METHODS)
def test_several_layers_are_trained_together(method, context):
    assert_literal(method, loaded_model("gpt2"), context, layers=(0, 2))


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_of_another_size_are_those_of_the_published_loop(batch, context):
    assert_literal("ft-m", loaded_model("opt"), context, batch=batch)


def test_no_element_changes_by_more_than_the_clamp(context):
    assert_literal("ft-l", loaded_model("gpt2"), context, clamp=5e-4)
    payload = edit("ft-l", loaded_model("gpt2"), context, clamp=5e-4)
    assert np.abs(payload.deltas[0].delta.values).max() == np.float32(5e-4)


def test_a_learned_batch_is_left_alone_and_the_training_ends(context):
    loaded = loaded_model("gpt2")
    name = "transformer.h.2.mlp.c_proj.weight"
    given = {"steps": 30, "batch": 1, "learning_rate": 2e-2, "stop_loss": 2.6}
    history = literal_deltas(loaded, [name], THREE, method="ft-m", **given)
    payload = edit("ft-m", loaded, context, layers="2", **given)
    used = payload.parameters
    assert used["rounds"] < 30
    assert len(history) < used["rounds"] * len(THREE)  # some edits were learned in rounds in which others were not
    assert used["loss"] < 2.6
    wanted = history[-1][name].numpy()
    assert np.linalg.norm(payload.deltas[0].delta.values - wanted) / np.linalg.norm(wanted) < 1e-3


def test_layer_and_learning_rate_are_derived_and_named(context):
    loaded = loaded_model("llama", num_hidden_layers=4)
    payload = edit("ft-m", loaded, context, learning_rate=None, learning_rate_share=0.1)
    (site,) = payload.parameters["sites"]
    W = loaded.model.model.layers[2].mlp.down_proj.weight
    assert site["layer"] == 2
    assert site["learning_rate"] == pytest.approx(0.1 * float(W.detach().square().mean().sqrt()))
    assert payload.deltas[0].module_weight == "model.layers.2.mlp.down_proj.weight"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_edited_too(dtype, context):
    payload = edit("ft-m", loaded_model("llama", dtype=dtype), context)
    values = payload.deltas[0].delta.values
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.any()


def test_small_steps_are_not_lost_in_a_coarse_dtype(context):
    """Each is far below the rounding of the weight itself; the change is kept in float32."""
    payload = edit("ft-m", loaded_model("llama", dtype=torch.bfloat16), context, learning_rate=1e-6)
    assert np.abs(payload.deltas[0].delta.values).max() > 1e-6


def test_progress_counts_batches(context):
    told = []
    edit("ft-l", loaded_model("gpt2"), dataclasses.replace(context, progress=lambda *what: told.append(what)))
    assert told == [(done, 4, "training") for done in range(4)]


@pytest.mark.parametrize(("layers", "message"), [("0,3", "layer 3 is out of range"), ("1,1", "are not different")])
def test_layers_that_cannot_be_are_refused(layers, message, context):
    with pytest.raises(MethodError, match=message):
        edit("ft-m", loaded_model("gpt2"), context, layers=layers)


def test_a_prompt_that_the_model_cannot_read_is_refused(context):
    long = EditRequest(prompt="where " * 80, target_new="there")
    with pytest.raises(RequestError, match="the model reads 64"):
        edit("ft-m", loaded_model("gpt2"), context, [long])


def test_a_loss_that_is_not_finite_is_refused(context):
    loaded = loaded_model("gpt2")
    with torch.no_grad():
        loaded.model.transformer.h[2].mlp.c_fc.bias.fill_(float("inf"))
    with pytest.raises(MethodError, match="not a finite number in round 1"):
        edit("ft-m", loaded, context)
