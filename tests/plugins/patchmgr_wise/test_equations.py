"""WISE's formulas against literal ones, element by element."""

from __future__ import annotations

import pytest
import torch

from literal_wise import descended, margin_loss, stirs, ties
from patchmgr_wise import equations

D_IN, D_OUT = 6, 4


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def test_a_side_memory_stirs_by_the_norm_of_what_it_adds():
    A, change = drawn(5, D_IN), drawn(D_OUT, D_IN, seed=1)
    expected = stirs(A.double().tolist(), change.double().tolist())
    assert float(equations.stir(A, change)) == pytest.approx(sum(expected) / 5, rel=1e-5)
    assert float(equations.stir(A, change, "max")) == pytest.approx(max(expected), rel=1e-5)
    assert float(equations.stir(A, change, "last")) == pytest.approx(expected[-1], rel=1e-5)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_the_margins_are_those_of_the_paper(scale):
    inside, outside = scale * drawn(3).abs() * 8, scale * drawn(5, seed=1).abs() * 8
    expected = margin_loss(inside.tolist(), outside.tolist(), 5.0, 20.0, 10.0)
    assert float(equations.margin_loss(inside, outside, 5.0, 20.0, 10.0)) == pytest.approx(expected, rel=1e-5)


def test_kept_margins_cost_nothing_and_have_no_gradient_that_is_not_a_number():
    inside, outside = torch.tensor([21.0], requires_grad=True), torch.tensor([1.0])
    loss = equations.margin_loss(inside, outside, 5.0, 20.0, 10.0)
    loss.backward()
    assert (loss.item(), inside.grad.item()) == (0.0, 0.0)


@pytest.mark.parametrize(("n", "density"), [(2, 0.5), (3, 0.25), (3, 1.0)])
def test_shards_are_merged_as_ties_merges(n, density):
    changes = [drawn(D_OUT, D_IN, seed=number) for number in range(n)]
    expected = ties([change.flatten().tolist() for change in changes], density)
    assert equations.merged(changes, density).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_one_shard_alone_is_itself():
    change = drawn(D_OUT, D_IN)
    assert torch.equal(equations.merged([change], 0.5), change)


def test_a_step_stays_within_the_mask_and_the_limit():
    change, gradient = drawn(D_OUT, D_IN), drawn(D_OUT, D_IN, seed=1)
    mask = equations.random_mask((D_OUT, D_IN), 0.5, torch.Generator().manual_seed(0))
    expected = descended(*(each.flatten().tolist() for each in (change, gradient, mask)), rate=0.3, limit=1.0)
    equations.descended_(change, gradient, mask, 0.3, 1.0)
    assert change.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert float(change.abs().max()) == 1.0


def test_a_mask_has_the_share_that_was_asked_for_and_is_drawn_anew_by_another_seed():
    masks = [equations.random_mask((300, 400), 0.2, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert float(masks[0].float().mean()) == pytest.approx(0.2, abs=0.01)
    assert torch.equal(masks[0], masks[1])
    assert float((masks[0] & masks[2]).float().mean()) == pytest.approx(0.04, abs=0.01)
