"""Which modules get an adapter when none are named, and which are refused."""

from __future__ import annotations

import pytest
import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_NAMES

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.testing import tiny_seq2seq
from patchmgr_lora.targets import chosen_targets
from tiny_models import ARCHITECTURES, tiny_model

OTHERS = {"phi": {"q_proj", "v_proj"}, "phi3": {"qkv_proj"}}  # peft adds the MLP for the one, and knows not the other


def names(targets):
    return {target.name.rpartition(".")[2] for target in targets}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_usual_targets_are_those_of_peft(name):
    model = tiny_model(name)
    targets = chosen_targets(find_architecture(model), None, None)
    expected = OTHERS.get(name) or set(PEFT_NAMES[model.config.model_type])
    assert names(targets) == expected
    assert len(targets) == 3 * len(expected)


def test_the_usual_targets_of_an_encoder_decoder_are_those_of_peft():
    targets = chosen_targets(find_architecture(tiny_seq2seq().model, encoder_decoder=True), None, None)
    assert names(targets) == set(PEFT_NAMES["t5"])
    assert len(targets) == 2 * (2 + 3 + 3)  # self-attention of encoder and decoder, and what the decoder reads of both


def test_where_no_attention_has_a_known_name_the_down_projections_are_taken():
    model = tiny_model("llama")
    for layer in model.model.layers:
        layer.self_attn.query, layer.self_attn.q_proj = layer.self_attn.q_proj, None
    targets = chosen_targets(find_architecture(model), None, None)
    assert [target.name for target in targets] == [f"model.layers.{layer}.mlp.down_proj" for layer in range(3)]


@pytest.mark.parametrize(
    ("given", "layers", "message"),
    [
        (["q_proj"], None, "no module of the model is called q_proj; choose from c_attn, c_fc, c_proj, lm_head"),
        (["c_attn", "proj"], None, "no module of the model is called proj"),
        (["c_attn"], [0, 3], "layer 3 is out of range"),
        (["lm_head"], [0], r"no block of \[0\] has a lm_head"),
        (["lm_head"], None, "lm_head shares its weight"),
        (["ln_1"], None, r"transformer\.h\.0\.ln_1 is a LayerNorm"),
    ],
)
def test_what_cannot_be_is_refused(given, layers, message):
    with pytest.raises(MethodError, match=message):
        chosen_targets(find_architecture(tiny_model("gpt2")), given, layers)


def test_a_quantised_weight_is_refused_by_name():
    model = tiny_model("llama")
    projection = model.model.layers[1].self_attn.v_proj
    projection.weight = torch.nn.Parameter(projection.weight.detach().char(), requires_grad=False)
    with pytest.raises(MethodError, match=r"model\.layers\.1\.self_attn\.v_proj is a Linear that cannot be changed"):
        chosen_targets(find_architecture(model), ["v_proj"], None)
