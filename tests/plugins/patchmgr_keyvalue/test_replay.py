"""The three ways of running a batch give the same logits, on every architecture."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr.testing import snapshot
from patchmgr_keyvalue.attention import attention_of
from patchmgr_keyvalue.forwards import changed_output
from patchmgr_keyvalue.replay import Replay
from patchmgr_keyvalue.rows import pad, target_rows
from patchmgr_keyvalue.ways import Way
from tiny_models import ARCHITECTURES, HIDDEN, tiny_model, tiny_tokenizer

REQUESTS = (
    EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),
    EditRequest(prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="tower"),
)
NORMED_BEHIND = ("gemma2", "gemma3", "opt_post_norm")
"""Their MLP's output is normed before it leaves the block, so the block has to be run."""
TEMPLATES = ("{}", "It was. {}")
SLIDING = ("mistral", "gemma2", "gemma3")
"""Their window of 8 is shorter than the rows, so kept keys would be seen from too far away."""


def rows_of(tokenizer):
    return target_rows(tokenizer, [(template, request) for request in REQUESTS for template in TEMPLATES])


def logits_by_hand(model, sites, row, delta):
    """The row alone, unpadded, by a full forward pass with δ added by plain hooks."""

    def adding(change):
        def add(output):
            at_subject = torch.zeros(len(row.ids), 1)
            at_subject[row.subject] = 1
            return output + (at_subject * change).reshape(output.shape)

        return add

    with ExitStack() as stack, torch.no_grad():
        for site, change in zip(sites, delta, strict=True):
            stack.enter_context(changed_output(site, adding(change)))
        return model(torch.tensor([row.ids])).logits[0][list(row.places)].float()


def replay_of(name, layer=1):
    model = tiny_model(name)
    architecture = find_architecture(model)
    rows, module = rows_of(tiny_tokenizer()), architecture.down_projection(layer).module
    return model, module, rows, Replay(architecture, [module], layer, rows, [row.places for row in rows])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_replay_gives_the_logits_of_a_full_forward_pass(name):
    model, module, rows, replay = replay_of(name)
    assert replay.way.name == ("upper" if name in SLIDING else "tail")
    assert len(replay.way.below) == (1 if name in NORMED_BEHIND else 2)
    delta = torch.randn(len(rows), 1, HIDDEN, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([logits_by_hand(model, [module], row, d) for row, d in zip(rows, delta, strict=True)])
    torch.testing.assert_close(replay.logits(delta), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "gptj", "gemma2"])
@pytest.mark.parametrize("layer", [0, 1])
def test_gradients_are_those_of_a_whole_pass(name, layer):
    _, _, rows, replay = replay_of(name, layer)
    delta = torch.randn(len(rows), 1, HIDDEN, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (fast,) = torch.autograd.grad(replay.logits(delta).square().sum(), delta)
    replay.way = whole_way(rows, replay)
    (slow,) = torch.autograd.grad(replay.logits(delta).square().sum(), delta)
    assert float(slow.abs().max()) > 0.1
    torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-3 * float(slow.abs().max()))


def whole_way(rows, replay):
    """The way that keeps nothing, made anew."""
    subjects = torch.tensor([row.subject for row in rows])
    places = [(number, place) for number, row in enumerate(rows) for place in row.places]
    return Way("whole", pad(replay.model, rows), subjects, *map(torch.tensor, zip(*places, strict=True)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_some_rows_alone_give_what_they_gave_among_all(name):
    _, _, rows, replay = replay_of(name)
    delta = torch.randn(len(rows), 1, HIDDEN, generator=torch.Generator().manual_seed(0))
    kept = torch.tensor([1, 2])
    fewer = replay.only(kept)
    counts = [len(row.places) for row in rows]
    expected = torch.cat([part for number, part in enumerate(replay.logits(delta).split(counts)) if number in (1, 2)])
    torch.testing.assert_close(fewer.logits(delta[kept]), expected, rtol=1e-4, atol=1e-4)
    before = torch.cat([part for number, part in enumerate(replay.logits_before.split(counts)) if number in (1, 2)])
    assert torch.equal(fewer.logits_before, before)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_two_sites_of_a_block_have_a_delta_each(name):
    """As in PMET: what attention gives and what the MLP gives."""
    model = tiny_model(name)
    architecture, rows = find_architecture(model), rows_of(tiny_tokenizer())
    sites = [attention_of(architecture, 1), architecture.down_projection(1).module]
    replay = Replay(architecture, sites, 1, rows, [row.places for row in rows])
    delta = torch.randn(len(rows), 2, HIDDEN, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([logits_by_hand(model, sites, row, d) for row, d in zip(rows, delta, strict=True)])
    torch.testing.assert_close(replay.logits(delta), expected, rtol=1e-3, atol=1e-3)


def test_values_are_the_output_of_the_site_at_the_subject():
    model, module, rows, replay = replay_of("llama")
    seen = []
    with changed_output(module, lambda output: seen.append(output) or output), torch.no_grad():
        model(torch.tensor([rows[0].ids]))
    torch.testing.assert_close(replay.values[0, 0], seen[0][0, rows[0].subject])


@pytest.mark.parametrize("name", ["gptj", "llama"])
def test_replaying_leaves_the_model_as_it_was(name):
    model = tiny_model(name)
    block = (model.transformer.h if name == "gptj" else model.model.layers)[0]
    block.forward = block.forward  # as accelerate's dispatch leaves it: on the instance
    before, own = snapshot(model), block.__dict__["forward"]
    architecture, rows = find_architecture(model), rows_of(tiny_tokenizer())
    replay = Replay(architecture, [architecture.down_projection(1).module], 1, rows, [row.places for row in rows])
    replay.logits(torch.zeros(len(rows), 1, HIDDEN))
    assert snapshot(model) == before
    assert block.__dict__["forward"] is own


def test_a_block_can_be_the_site():
    """As in MEMIT; GPT-J's blocks give tuples."""
    model = tiny_model("gptj")
    architecture, rows = find_architecture(model), rows_of(tiny_tokenizer())
    block = architecture.blocks[1]
    replay = Replay(architecture, [block], 2, rows, [row.places for row in rows])
    delta = torch.randn(len(rows), 1, HIDDEN, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([logits_by_hand(model, [block], row, d) for row, d in zip(rows, delta, strict=True)])
    torch.testing.assert_close(replay.logits(delta), expected, rtol=1e-3, atol=1e-3)
