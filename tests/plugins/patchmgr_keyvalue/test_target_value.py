"""The optimisation of v* against a slow literal one: one text at a time, whole passes, torch's Adam."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr.testing import snapshot
from patchmgr_keyvalue.forwards import changed_output
from patchmgr_keyvalue.target_value import ValueSettings, optimise_values, pose
from patchmgr_keyvalue.value_rows import edit_rows
from tiny_models import tiny_model, tiny_tokenizer

ATLANTIS = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome lies")
ADA = EditRequest(prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="tower")
TEMPLATES = ("{}", "It was. {}", "I think that you know. {}")
TOKENIZER = tiny_tokenizer()
SETTINGS = ValueSettings(steps=6, learning_rate=0.1, weight_decay=0.3, clamp=1.5, kl_factor=0.5, stop_loss=0.0)


def passes(model, module, text, delta, subject):
    """Logits of one text with δ at the last token of ``text[:subject]``, and the module's output there."""
    n_before = len(TOKENIZER(text[:subject])["input_ids"])
    seen = []

    def add(output):
        flat = output.reshape(-1, output.shape[-1])
        seen.append(flat[n_before - 1].detach())
        at_subject = torch.zeros(len(flat), 1)
        at_subject[n_before - 1] = 1
        return (flat + at_subject * delta).reshape(output.shape)

    with changed_output(module, add):
        logits = model(torch.tensor([TOKENIZER(text)["input_ids"]])).logits[0]
    return logits, seen[0], n_before - 1


def literal_loss(model, module, request, delta, settings):
    """ROME eq. 4 as it is written down, and v₀."""
    zero = torch.zeros_like(delta)
    _, value0, _ = passes(model, module, request.text, zero, request.subject_end)
    total = 0
    for template in TEMPLATES:
        prompt = template.replace("{}", request.text)
        text, subject = f"{prompt} {request.target_new}", template.index("{}") + request.subject_end
        logits, _, _ = passes(model, module, text, delta, subject)
        ids, n_prompt = TOKENIZER(text)["input_ids"], len(TOKENIZER(prompt)["input_ids"])
        log_p = [logits[at - 1].log_softmax(0)[ids[at]] for at in range(n_prompt, len(ids))]
        total = total - sum(log_p) / len(log_p) / len(TEMPLATES)
    essence, length = f"{request.subject} is a", len(request.subject)
    after, _, at = passes(model, module, essence, delta, length)
    before, _, _ = passes(model, module, essence, zero, length)
    p, q = after[at].softmax(0), before[at].softmax(0).detach()
    total = total + settings.kl_factor * (p * (p.log() - q.log())).sum()
    return total + settings.weight_decay * delta.norm() / value0.norm() ** 2, value0


def literal_delta(model, module, request, settings):
    d_out = model.config.hidden_size
    delta = torch.zeros(d_out, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=settings.learning_rate)
    for step in range(settings.steps):
        loss, value0 = literal_loss(model, module, request, delta, settings)
        if step == settings.steps - 1:
            break
        (delta.grad,) = torch.autograd.grad(loss, delta)
        adam.step()
        with torch.no_grad():
            longest = settings.clamp * value0.norm()
            if delta.norm() > longest:
                delta *= longest / delta.norm()
    return delta.detach(), loss.detach()


def posed(name, requests):
    model = tiny_model(name)
    architecture = find_architecture(model)
    module = architecture.down_projection(1).module
    return model, module, pose(architecture, [module], 1, edit_rows(TOKENIZER, TEMPLATES, requests))


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "gptj", "gemma2"])
def test_the_loss_is_that_of_the_paper(name):
    model, module, problem = posed(name, [ATLANTIS, ADA])
    delta = torch.randn(2, 1, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    losses = problem.losses(delta, SETTINGS).total()
    for request, row, loss in zip((ATLANTIS, ADA), delta, losses, strict=True):
        expected, _ = literal_loss(model, module, request, row[0], SETTINGS)
        torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_the_optimisation_is_a_plain_loop_of_adam(name):
    model, module, problem = posed(name, [ATLANTIS])
    found = optimise_values(problem, SETTINGS)
    expected, loss = literal_delta(model, module, ATLANTIS, SETTINGS)
    torch.testing.assert_close(found.delta[0, 0], expected, rtol=5e-3, atol=2e-3)
    torch.testing.assert_close(found.loss[0], loss, rtol=1e-3, atol=1e-3)
    assert found.n_steps == SETTINGS.steps


def test_edits_optimised_side_by_side_go_their_own_way():
    _, _, both = posed("gpt2", [ATLANTIS, ADA])
    together = optimise_values(both, SETTINGS)
    for index, request in enumerate((ATLANTIS, ADA)):
        alone = optimise_values(posed("gpt2", [request])[2], SETTINGS)
        torch.testing.assert_close(together.delta[index], alone.delta[0], rtol=1e-3, atol=1e-3)


def test_an_edit_below_the_stop_loss_stays_where_it_is():
    _, _, problem = posed("gpt2", [ATLANTIS, ADA])
    losses = problem.losses(torch.zeros_like(problem.value0), SETTINGS).total().tolist()
    between = ValueSettings(steps=3, stop_loss=sum(losses) / 2)
    found = optimise_values(problem, between)
    moved = found.delta.abs().amax((1, 2)) > 0
    assert moved.tolist() == [loss > between.stop_loss for loss in losses]
    stopped = optimise_values(problem, ValueSettings(steps=9, stop_loss=100.0))
    assert stopped.n_steps == 1
    assert not stopped.delta.any()


def test_delta_is_no_longer_than_the_clamp_allows():
    _, _, problem = posed("llama", [ATLANTIS])
    found = optimise_values(problem, ValueSettings(steps=5, clamp=0.1, stop_loss=0.0))
    assert float(found.delta.norm()) <= 0.1 * float(found.value0.norm()) * 1.0001


def test_a_loss_that_is_not_a_number_is_reported():
    _, _, problem = posed("gpt2", [ATLANTIS])
    problem.replay.logits_before[:] = float("nan")
    with pytest.raises(MethodError, match="not a finite number at step 1"):
        optimise_values(problem, ValueSettings())


def test_an_interrupt_leaves_the_model_as_it_was():
    model, _, problem = posed("llama", [ATLANTIS])
    before = snapshot(model)

    def interrupt(done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise_values(problem, ValueSettings(stop_loss=0.0), interrupt)
    assert snapshot(model) == before


def test_a_target_that_is_the_likeliest_weighs_less_in_the_next_step_or_ends_the_search(monkeypatch):
    """As in PMET; here the first edit is said to be sure at every step, the second never."""
    sure = {2: [True, False], 1: [False]}
    monkeypatch.setattr(
        "patchmgr_keyvalue.value_loss.all_likeliest", lambda _logits, _targets, _edit, n: torch.tensor(sure[n])
    )
    _, _, problem = posed("gpt2", [ATLANTIS, ADA])
    plain = optimise_values(problem, SETTINGS)
    less = optimise_values(problem, replace(SETTINGS, sure_weight=0.0))
    assert not torch.allclose(less.delta[0], plain.delta[0], rtol=0.05)
    torch.testing.assert_close(less.delta[1], plain.delta[1])
    first = optimise_values(problem, replace(SETTINGS, sure_weight=0.0, steps=2))
    torch.testing.assert_close(first.delta, optimise_values(problem, replace(SETTINGS, steps=2)).delta)
    ended = optimise_values(problem, replace(SETTINGS, sure_drift=100.0))
    assert not ended.delta[0].any()
    torch.testing.assert_close(ended.delta[1], plain.delta[1], rtol=1e-4, atol=1e-5)
