"""Live models: parameters paired by bytes, and replaced exactly for a while."""

from __future__ import annotations

import pytest
import torch

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import MethodError, NotFoundError
from patchmgr.live.load import load_model
from patchmgr.live.pairing import checkpoint_name, elements, parameter
from patchmgr.live.replace import replaced
from tiny_models import tiny_model, tiny_tokenizer


@pytest.fixture(params=["gpt2", "llama"])
def folder(request, tmp_path):
    tiny_model(request.param, dtype=torch.bfloat16).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def down_projection(model) -> str:
    return next(
        name
        for name, _ in model.named_parameters()
        if name.endswith(("c_proj.weight", "down_proj.weight")) and "mlp" in name
    )


def test_parameters_are_paired_with_the_tensors_that_hold_their_bytes(folder):
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    name = down_projection(loaded.model)
    found = checkpoint_name(loaded.model, name, checkpoint)
    _, entry = checkpoint.entry(found)
    stored = elements(checkpoint.read_bytes(found), entry.dtype, entry.shape)
    assert torch.equal(stored.float(), parameter(loaded.model, name))


def test_a_parameter_that_the_checkpoint_does_not_hold_is_refused(folder):
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    name = down_projection(loaded.model)
    with torch.no_grad():
        parameter(loaded.model, name)[0, 0] += 1
    with pytest.raises(MethodError, match="is not one tensor of the checkpoint"):
        checkpoint_name(loaded.model, name, checkpoint)
    with pytest.raises(MethodError, match="has no parameter 'nothing'"):
        parameter(loaded.model, "nothing")


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_replaced_weights_are_back_bit_for_bit_even_after_an_error(folder, dtype):
    loaded = load_model(folder, "root", dtype=dtype)
    name = down_projection(loaded.model)
    live = parameter(loaded.model, name)
    before, address = live.detach().clone(), live.data_ptr()
    inner = torch.full_like(before, 2.0)
    with pytest.raises(ZeroDivisionError), replaced(loaded.model, {name: torch.ones_like(before)}):
        assert torch.equal(live, torch.ones_like(before))
        with replaced(loaded.model, {name: inner}):
            assert torch.equal(live, inner)
        assert torch.equal(live, torch.ones_like(before))
        raise ZeroDivisionError
    assert torch.equal(live.view(torch.uint8), before.view(torch.uint8))
    assert live.data_ptr() == address


def test_a_folder_that_cannot_be_loaded_is_said_in_words(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no-such-thing"}')
    with pytest.raises(NotFoundError, match="cannot be loaded as a causal language model"):
        load_model(tmp_path, "root")
