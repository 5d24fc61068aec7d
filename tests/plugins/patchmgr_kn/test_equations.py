"""The equations of Knowledge Neurons, on shapes that a transposition cannot pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchmgr_kn.equations import change, coarse, scales, scores, shared

D_IN, D_OUT, ROWS, STEPS = 6, 4, 3, 5
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


@given(SEEDS)
def test_the_scores_are_those_of_gradients_at_the_activations_themselves(seed):
    generator = torch.Generator().manual_seed(seed)
    W, a = torch.randn(D_OUT, D_IN, generator=generator).double(), torch.randn(ROWS, D_IN, generator=generator).double()
    given_by_mlp, expected = torch.empty(ROWS, STEPS, D_OUT).double(), torch.zeros(ROWS, D_IN).double()
    for row in range(ROWS):
        for step, share in enumerate(scales(STEPS).double()):
            scaled = (share * a[row]).requires_grad_()
            out = W @ scaled
            out.retain_grad()
            out.tanh().sum().backward()
            given_by_mlp[row, step] = out.grad
            expected[row] += a[row] * scaled.grad / STEPS
    torch.testing.assert_close(scores(a, given_by_mlp, W), expected)


def test_many_steps_approach_what_the_neurons_do_together():
    """The integral of the gradient along the way is the difference between its ends."""
    generator = torch.Generator().manual_seed(0)
    W, a = torch.randn(D_OUT, D_IN, generator=generator), torch.randn(1, D_IN, generator=generator)
    out = (scales(2000).unsqueeze(1) * (W @ a[0])).requires_grad_()
    (gradients,) = torch.autograd.grad(out.sigmoid().sum(), out)
    difference = (W @ a[0]).sigmoid().sum() - torch.zeros(D_OUT).sigmoid().sum()
    assert float(scores(a, gradients.unsqueeze(0), W).sum()) == pytest.approx(float(difference), rel=1e-3)


def test_the_integral_begins_at_nothing_and_ends_at_the_whole():
    assert (scales(20)[0], scales(20)[-1], len(scales(20))) == (0, 1, 20)


def test_only_scores_above_the_threshold_count_and_not_those_on_it():
    assert coarse(torch.tensor([0.5, 1.0, 0.6, -2.0]), 0.5).tolist() == [False, True, True, False]


@pytest.mark.parametrize(("share", "kept"), [(0.4, [True, True]), (0.5, [True, False]), (0.0, [True, True])])
def test_a_neuron_must_be_found_in_more_than_a_share_of_the_prompts(share, kept):
    assert shared(torch.tensor([[True, True], [True, False]]), share).tolist() == kept


def test_an_answer_of_one_token_counts_in_full_and_each_of_several_by_half():
    one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    assert change(one, two, 8.0, 1.0).tolist() == [8.0 - 0.5, 16.0 - 2.0]
