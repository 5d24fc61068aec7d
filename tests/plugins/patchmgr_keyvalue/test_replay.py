"""The three ways of running a batch give the same logits, on every architecture."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr.testing import snapshot
from patchmgr_keyvalue.forwards import changed_output
from patchmgr_keyvalue.replay import Replay, Way
from patchmgr_keyvalue.rows import target_row
from tiny_models import ARCHITECTURES, HIDDEN, tiny_model, tiny_tokenizer

REQUESTS = (
    EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),
    EditRequest(prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="tower"),
)
TEMPLATES = ("{}", "It was. {}")
SLIDING = ("mistral", "gemma2", "gemma3")
"""Their window of 8 is shorter than the rows, so kept keys would be seen from too far away."""


def rows_of(tokenizer):
    return [target_row(tokenizer, template, request) for request in REQUESTS for template in TEMPLATES]


def logits_by_hand(model, module, row, delta):
    """The row alone, unpadded, by a full forward pass with δ added by a plain hook."""

    def add(output):
        at_subject = torch.zeros(len(row.ids), 1)
        at_subject[row.subject] = 1
        return output + (at_subject * delta).reshape(output.shape)

    with changed_output(module, add), torch.no_grad():
        return model(torch.tensor([row.ids])).logits[0][list(row.places)].float()


def replay_of(name, layer=1):
    model = tiny_model(name)
    architecture = find_architecture(model)
    rows, module = rows_of(tiny_tokenizer()), architecture.down_projection(layer).module
    return model, module, rows, Replay(architecture, module, layer, rows, [row.places for row in rows])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_replay_gives_the_logits_of_a_full_forward_pass(name):
    model, module, rows, replay = replay_of(name)
    assert replay.way.name == ("upper" if name in SLIDING else "tail")
    delta = torch.randn(len(rows), HIDDEN, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([logits_by_hand(model, module, row, d) for row, d in zip(rows, delta, strict=True)])
    torch.testing.assert_close(replay.logits(delta), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "gptj", "gemma2"])
@pytest.mark.parametrize("layer", [0, 1])
def test_gradients_are_those_of_a_whole_pass(name, layer):
    _, _, rows, replay = replay_of(name, layer)
    delta = torch.randn(len(rows), HIDDEN, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (fast,) = torch.autograd.grad(replay.logits(delta).square().sum(), delta)
    replay.way = whole_way(rows, replay)
    (slow,) = torch.autograd.grad(replay.logits(delta).square().sum(), delta)
    assert float(slow.abs().max()) > 0.1
    torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-3 * float(slow.abs().max()))


def whole_way(rows, replay):
    """The way that keeps nothing, made anew."""
    from patchmgr_keyvalue.rows import pad

    batch = pad(replay._architecture.model, rows)
    width = batch.input_ids.shape[1]
    at_subject = torch.zeros(len(rows), width, 1)
    for index, row in enumerate(rows):
        at_subject[index, row.subject] = 1
    flat = torch.tensor([index * width + place for index, row in enumerate(rows) for place in row.places])
    return Way("whole", batch.inputs, (), at_subject, flat)


def test_values_are_the_output_of_the_site_at_the_subject():
    model, module, rows, replay = replay_of("llama")
    seen = []
    with changed_output(module, lambda output: seen.append(output) or output), torch.no_grad():
        model(torch.tensor([rows[0].ids]))
    torch.testing.assert_close(replay.values[0], seen[0][0, rows[0].subject])


@pytest.mark.parametrize("name", ["gptj", "llama"])
def test_replaying_leaves_the_model_as_it_was(name):
    model = tiny_model(name)
    block = (model.transformer.h if name == "gptj" else model.model.layers)[0]
    block.forward = block.forward  # as accelerate's dispatch leaves it: on the instance
    before, own = snapshot(model), block.__dict__["forward"]
    architecture, rows = find_architecture(model), rows_of(tiny_tokenizer())
    replay = Replay(architecture, architecture.down_projection(1).module, 1, rows, [row.places for row in rows])
    replay.logits(torch.zeros(len(rows), HIDDEN))
    assert snapshot(model) == before
    assert block.__dict__["forward"] is own


def test_a_block_can_be_the_site():
    """As in MEMIT; GPT-J's blocks give tuples."""
    model = tiny_model("gptj")
    architecture, rows = find_architecture(model), rows_of(tiny_tokenizer())
    block = architecture.blocks[1]
    replay = Replay(architecture, block, 1, rows, [row.places for row in rows])
    delta = torch.randn(len(rows), HIDDEN, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([logits_by_hand(model, block, row, d) for row, d in zip(rows, delta, strict=True)])
    torch.testing.assert_close(replay.logits(delta), expected, rtol=1e-3, atol=1e-3)
