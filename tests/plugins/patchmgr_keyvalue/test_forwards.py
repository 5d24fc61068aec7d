"""Modes and hooks are put back, whatever happens within."""

from __future__ import annotations

import pytest
import torch

from patchmgr.testing import snapshot
from patchmgr_keyvalue.forwards import blocks_give, changed_input, changed_output, untouched
from tiny_models import tiny_model


def test_every_modules_own_mode_is_put_back():
    model = tiny_model("gpt2")
    model.train()
    model.transformer.h[1].eval()
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt), untouched(model):
        assert not any(module.training for module in model.modules())
        raise KeyboardInterrupt
    assert snapshot(model) == before


def test_hooks_and_blocks_are_put_back_when_a_pass_fails():
    model = tiny_model("llama")
    before = snapshot(model)

    def fail(tensor):
        raise RuntimeError("within")

    for change in (changed_input, changed_output):
        with (
            pytest.raises(RuntimeError, match="within"),
            change(model.model.layers[2].mlp, fail),
            blocks_give(list(model.model.layers), [torch.zeros(1, 2, 24)]),
        ):
            model(torch.tensor([[1, 2]]))
    assert snapshot(model) == before
