"""Keys are what a full forward pass with a plain hook would show, on every architecture."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr.testing import snapshot
from patchmgr_keyvalue.forwards import inputs_of
from patchmgr_keyvalue.keys import template_keys
from patchmgr_keyvalue.rows import Batch, prompt_rows
from tiny_models import ARCHITECTURES, INNER, tiny_model, tiny_tokenizer

REQUEST = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
TEMPLATES = ("{}", "It was. {}", "I think that you know. {}")


def key_by_full_forward(model, module, ids):
    """The module's input at the last token, one text at a time, unpadded."""
    seen = []
    handle = module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.tensor([ids]))
    handle.remove()
    return seen[0].reshape(len(ids), -1)[-1].double()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_keys_are_those_of_a_full_forward_pass(name):
    model, tokenizer = tiny_model(name), tiny_tokenizer()
    architecture = find_architecture(model)
    projection = architecture.down_projection(1)
    keys = template_keys(architecture, tokenizer, projection, TEMPLATES, REQUEST)
    rows = prompt_rows(tokenizer, [(template, REQUEST) for template in TEMPLATES])
    expected = torch.stack([key_by_full_forward(model, projection.module, row.ids) for row in rows])
    assert keys.shape == (3, INNER)
    torch.testing.assert_close(keys, expected, rtol=1e-4, atol=1e-5)


def test_the_pass_stops_at_the_last_projection_and_leaves_no_hook():
    model = tiny_model("llama")
    architecture = find_architecture(model)
    modules = [architecture.down_projection(layer).module for layer in (0, 1)]
    ran = []
    handle = model.model.layers[2].register_forward_pre_hook(lambda *_: ran.append(2))
    before = snapshot(model)
    ids = torch.tensor([[5, 6, 7]])
    lower, upper = inputs_of(model, modules, Batch(ids, torch.ones_like(ids)))
    assert lower.shape == upper.shape == (1, 3, INNER)
    assert ran == []
    assert snapshot(model) == before
    handle.remove()
