"""The terms of the loss and the optimiser against torch's own and against loops."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from patchmgr_keyvalue.value_loss import (
    Moments,
    adam_step,
    all_likeliest,
    decay_loss,
    essence_loss,
    project,
    target_loss,
)

EDITS, SITES, D_OUT, VOCABULARY = 3, 2, 4, 6
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(SEEDS)
def test_the_target_loss_is_the_mean_over_rows_of_the_mean_over_tokens(seed):
    logits = randn(seed, 7, VOCABULARY)
    targets = torch.tensor([0, 5, 2, 2, 1, 3, 4])
    rows = [(0, [0, 1]), (0, [2]), (1, [3, 4, 5]), (2, [6])]  # edit of the row, its tokens
    rows_of = {0: 2, 1: 1, 2: 1}
    edit, weights = torch.zeros(7, dtype=torch.long), torch.zeros(7)
    expected = torch.zeros(EDITS)
    for whose, tokens in rows:
        for token in tokens:
            edit[token], weights[token] = whose, 1 / (rows_of[whose] * len(tokens))
        log_p = [float(logits[token].softmax(0)[targets[token]].log()) for token in tokens]
        expected[whose] -= sum(log_p) / len(tokens) / rows_of[whose]
    torch.testing.assert_close(target_loss(logits, targets, weights, edit, EDITS), expected)


@given(SEEDS)
def test_the_essence_loss_is_the_divergence_of_the_edited_from_the_original(seed):
    after, before = randn(seed, EDITS, VOCABULARY), randn(seed + 1, EDITS, VOCABULARY)
    edited = torch.distributions.Categorical(logits=after)
    original = torch.distributions.Categorical(logits=before)
    expected = torch.distributions.kl_divergence(edited, original)
    torch.testing.assert_close(essence_loss(after, before), expected, rtol=1e-4, atol=1e-6)


@given(SEEDS)
def test_decay_is_a_length_over_a_squared_length(seed):
    delta, value0 = randn(seed, EDITS, SITES, D_OUT), randn(seed + 1, EDITS, SITES, D_OUT)
    expected = [
        [float(d.norm() / v0.norm() ** 2) for d, v0 in zip(*edit, strict=True)]
        for edit in zip(delta, value0, strict=True)
    ]
    torch.testing.assert_close(decay_loss(delta, value0), torch.tensor(expected))


@given(SEEDS, st.floats(min_value=0.1, max_value=4))
def test_projection_shortens_what_is_too_long_and_nothing_else(seed, clamp):
    delta, value0 = randn(seed, EDITS, SITES, D_OUT), randn(seed + 1, EDITS, SITES, D_OUT)
    projected = project(delta, value0, clamp)
    flat = (tensor.flatten(0, 1) for tensor in (projected, delta, value0))
    for row, was, v0 in zip(*flat, strict=True):
        longest = clamp * v0.norm()
        torch.testing.assert_close(row, was if was.norm() <= longest else was / was.norm() * longest)


@given(SEEDS)
def test_adam_steps_are_those_of_torch(seed):
    target = randn(seed, EDITS, SITES, D_OUT)
    ours, moments = (
        torch.zeros(EDITS, SITES, D_OUT),
        Moments(torch.zeros(EDITS, SITES, D_OUT), torch.zeros(EDITS, SITES, D_OUT)),
    )
    theirs = torch.zeros(EDITS, SITES, D_OUT, requires_grad=True)
    adam = torch.optim.Adam([theirs], lr=0.5)
    for _ in range(5):
        ours, moments = adam_step(ours, 2 * (ours - target), moments, 0.5)
        theirs.grad = 2 * (theirs.detach() - target)
        adam.step()
    torch.testing.assert_close(ours, theirs.detach())


def test_the_gradient_of_the_decay_at_zero_is_a_number():
    delta = torch.zeros(EDITS, SITES, D_OUT, requires_grad=True)
    (gradient,) = torch.autograd.grad(decay_loss(delta, torch.ones(EDITS, SITES, D_OUT)).sum(), delta)
    assert bool(gradient.isfinite().all())


def test_an_edit_is_sure_when_each_of_its_tokens_is_the_likeliest():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 2.0, 1.0]])
    targets, edit = torch.tensor([1, 1, 1]), torch.tensor([0, 1, 1])
    assert all_likeliest(logits, targets, edit, 2).tolist() == [True, False]
