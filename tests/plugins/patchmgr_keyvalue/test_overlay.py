"""A projection under an overlay answers as if its weight had been changed, and is itself again after."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr.testing import snapshot
from patchmgr_keyvalue.overlay import LowRankOverlay
from tiny_models import HIDDEN, INNER, tiny_model


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_answers_as_with_changed_weights(name, dtype):
    model, changed = tiny_model(name, dtype=dtype), tiny_model(name, dtype=dtype)
    projection = find_architecture(model).down_projection(1)
    left, right = torch.randn(HIDDEN, 3), torch.randn(3, INNER)
    with torch.no_grad():
        u, v = projection.factors(left, right)
        changed.get_parameter(projection.weight_name).add_(torch.from_numpy(u @ v))
        ids = torch.tensor([[5, 6, 7, 8]])
        before = snapshot(model)
        with LowRankOverlay(projection) as overlay:
            overlay.add(left[:, :1], right[:1])
            overlay.add(left[:, 1:], right[1:])
            logits = model(ids).logits.float()
        expected = changed(ids).logits.float()
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(logits, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))
    assert snapshot(model) == before


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_the_value_of_a_key_is_that_of_the_changed_weight_with_its_bias(name):
    model = tiny_model(name)
    projection = find_architecture(model).down_projection(1)
    left, right, key = torch.randn(HIDDEN, 2), torch.randn(2, INNER), torch.randn(INNER)
    overlay = LowRankOverlay(projection)
    overlay.add(left, right)
    plain = projection.module(key.reshape(1, 1, -1)).reshape(-1)
    torch.testing.assert_close(overlay.value(key).float(), (plain + left @ (right @ key)).detach())


def test_an_exception_takes_the_overlay_off():
    model = tiny_model("gpt2")
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt), LowRankOverlay(find_architecture(model).down_projection(0)):
        raise KeyboardInterrupt
    assert snapshot(model) == before
