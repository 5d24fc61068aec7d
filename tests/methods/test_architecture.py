"""Blocks, down-projections, norms and heads are found by structure in every architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import T5ForConditionalGeneration

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from tiny_models import ARCHITECTURES, HIDDEN, INNER, tiny_model, tiny_seq2seq

DOWN_NAMES = {
    "gpt2": "transformer.h.1.mlp.c_proj",
    "gptj": "transformer.h.1.mlp.fc_out",
    "gpt_neox": "gpt_neox.layers.1.mlp.dense_4h_to_h",
    "opt": "model.decoder.layers.1.fc2",
    "opt_post_norm": "model.decoder.layers.1.fc2",
    "phi": "model.layers.1.mlp.fc2",
}
NORM_NAMES = {
    "gpt2": "transformer.ln_f",
    "gptj": "transformer.ln_f",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "opt": "model.decoder.final_layer_norm",
    "opt_post_norm": None,
    "phi": "model.final_layernorm",
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_down_projection_is_found_by_structure(name):
    model = tiny_model(name)
    found = find_architecture(model)
    projection = found.down_projection(1)
    assert projection.name == DOWN_NAMES.get(name, "model.layers.1.mlp.down_proj")
    assert projection.module is model.get_submodule(projection.name)
    assert (projection.d_in, projection.d_out) == (INNER, HIDDEN)
    assert projection.matrix().shape == (HIDDEN, INNER)
    assert projection.orientation == ("in_out" if name == "gpt2" else "out_in")
    assert len(found.blocks) == model.config.num_hidden_layers


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_final_norm_and_head_are_found(name):
    model = tiny_model(name)
    found = find_architecture(model)
    expected = NORM_NAMES.get(name, "model.norm")
    assert found.final_norm is (model.get_submodule(expected) if expected else None)
    assert found.head is model.get_output_embeddings()


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_factors_have_the_shape_of_the_weight_in_the_checkpoint(name):
    model = tiny_model(name)
    projection = find_architecture(model).down_projection(0)
    left, right = torch.randn(HIDDEN, 2), torch.randn(2, INNER)
    u, v = projection.factors(left, right)
    product = torch.from_numpy(u @ v)
    assert product.shape == dict(model.named_parameters())[projection.weight_name].shape
    dense = left @ right
    torch.testing.assert_close(product, dense.T if name == "gpt2" else dense)
    assert u.dtype == v.dtype == np.float32


def test_a_square_mlp_is_told_by_name_and_its_orientation_by_type():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_inner=8, n_layer=2, n_head=2))
    projection = find_architecture(model).down_projection(0)
    assert projection.name == "transformer.h.0.mlp.c_proj"
    assert projection.orientation == "in_out"


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_out_of_range_is_refused(layer):
    with pytest.raises(MethodError, match=f"layer {layer} is out of range, the model has 3 blocks"):
        find_architecture(tiny_model("llama")).down_projection(layer)


def test_a_mixture_of_experts_is_refused_by_name():
    found = find_architecture(tiny_model("mixtral"))
    with pytest.raises(MethodError, match=r"model\.layers\.0\.mlp\.experts is a mixture of experts"):
        found.down_projection(0)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_a_quantised_weight_is_refused_by_name(dtype):
    model = tiny_model("llama")
    module = model.model.layers[0].mlp.down_proj
    module.weight = nn.Parameter(module.weight.detach().to(dtype), requires_grad=False)
    with pytest.raises(MethodError, match=r"model\.layers\.0\.mlp\.down_proj\.weight is Parameter of torch"):
        find_architecture(model).down_projection(0)


def test_a_foreign_module_is_refused_by_name():
    class PackedLinear(nn.Module):
        """Stands for a quantiser's own layer."""

    model = tiny_model("opt")
    model.model.decoder.layers[2].fc2 = PackedLinear()
    with pytest.raises(MethodError, match=r"layers\.2\.fc2 is a PackedLinear, not a plain linear layer"):
        find_architecture(model).down_projection(2)


def test_a_weight_that_is_not_in_memory_is_refused():
    model = tiny_model("llama")
    model.model.layers[0].mlp.down_proj.to("meta")
    with pytest.raises(MethodError, match="not in memory"):
        find_architecture(model).down_projection(0)


# Encoder-decoders


@pytest.mark.parametrize("gated", [False, True])
def test_the_decoder_of_an_encoder_decoder_is_found_where_it_is_wanted(gated):
    model = tiny_seq2seq(gated=gated).model
    found = find_architecture(model, encoder_decoder=True)
    projection = found.down_projection(2)
    assert found.blocks_name == "decoder.block"
    assert len(found.blocks) == 3
    assert found.final_norm is model.decoder.final_layer_norm
    assert found.head is model.lm_head
    assert projection.name == "decoder.block.2.layer.2.DenseReluDense.wo"
    assert (projection.d_in, projection.d_out, projection.orientation) == (INNER, HIDDEN, "out_in")


def test_the_down_projection_is_found_where_all_of_an_mlp_is_square():
    config = tiny_seq2seq(gated=True).model.config
    config.d_ff = config.d_model
    found = find_architecture(T5ForConditionalGeneration(config), encoder_decoder=True)
    assert found.down_projection(0).name.endswith(".wo")


def test_an_encoder_decoder_is_refused_by_methods_that_cannot_edit_it():
    with pytest.raises(MethodError, match="T5ForConditionalGeneration is an encoder-decoder, which this method cannot"):
        find_architecture(tiny_seq2seq().model)
