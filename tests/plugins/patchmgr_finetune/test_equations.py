"""The loss, Adam and the derived rate, each against what they are named after."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from patchmgr_finetune.equations import Moments, adam_step_, answer_loss, derived_learning_rate


def test_the_loss_is_the_mean_over_edits_of_the_means_over_their_tokens():
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    targets, weights = torch.tensor([2, 6, 0]), torch.tensor([1 / 4, 1 / 4, 1 / 2])
    expected = (cross_entropy(logits[:2], targets[:2]) + cross_entropy(logits[2:], targets[2:])) / 2
    assert torch.isclose(answer_loss(logits, torch.arange(3), targets, weights), expected)


def test_all_tokens_of_an_answer_can_be_read_at_one_place():
    logits = torch.randn(1, 7, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([2, 6, 0])
    expected = cross_entropy(logits.expand(3, -1), targets)
    loss = answer_loss(logits, torch.zeros(3, dtype=torch.long), targets, torch.full((3,), 1 / 3))
    assert torch.isclose(loss, expected)


def test_ten_steps_are_those_of_the_optimiser_in_torch():
    generator = torch.Generator().manual_seed(2)
    ours = torch.randn(4, 6, generator=generator)
    theirs = ours.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.3)
    moments = Moments(torch.zeros_like(ours), torch.zeros_like(ours))
    for step in range(1, 11):
        gradient = torch.randn(4, 6, generator=generator)
        theirs.grad = gradient.clone()
        optimiser.step()
        adam_step_(ours, gradient, moments, step, 0.3)
        assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_derived_rate_grows_with_the_weight(scale):
    W = scale * torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    assert derived_learning_rate(W, 0.1) == pytest.approx(0.1 * scale * (25 / 6) ** 0.5)
