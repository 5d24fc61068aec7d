"""SERAC's losses and thresholds against sums that are written out."""

from __future__ import annotations

import math

import pytest
import torch

from patchmgr_serac.equations import (
    balanced_accuracy,
    balanced_bce,
    best_threshold,
    hard_negative_weights,
    label_nll,
    log_in_scope,
    log_in_scope_of_logits,
    rank_share,
    squared_distance,
)


def test_the_probability_is_the_exponential_of_minus_the_squared_distance():
    x, m = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[0.5, 2.0, 1.0]])
    d2 = squared_distance(x, m)
    assert d2.tolist() == pytest.approx([0.25 + 1.0])
    log_p, log_not_p = log_in_scope(d2)
    assert log_p.exp().tolist() == pytest.approx([math.exp(-1.25)])
    assert log_not_p.exp().tolist() == pytest.approx([1 - math.exp(-1.25)])


def test_equal_vectors_have_a_finite_loss_outside_and_far_ones_a_finite_loss_inside():
    d2 = torch.tensor([0.0, 400.0], requires_grad=True)
    log_p, log_not_p = log_in_scope(d2)
    loss = balanced_bce(log_p, log_not_p, torch.tensor([False, True]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-math.log(torch.finfo(torch.float32).eps) + 400, rel=1e-5)
    assert d2.grad is not None
    assert d2.grad.isfinite().all()


def test_pairs_inside_and_outside_weigh_alike_however_many_there_are():
    p = [0.9, 0.2, 0.6, 0.3, 0.05]
    inside = [True, False, False, False, False]
    log_p = torch.tensor(p).log()
    found = balanced_bce(log_p, (1 - log_p.exp()).log(), torch.tensor(inside))
    expected = -math.log(0.9) - sum(math.log(1 - each) for each in p[1:]) / 4
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(balanced_bce(log_p[:1], log_p[:1], torch.tensor([True]))) == pytest.approx(-math.log(0.9))


def test_the_logit_form_is_the_logistic_function():
    z = torch.tensor([-3.0, 0.0, 2.0])
    log_p, log_not_p = log_in_scope_of_logits(z)
    assert log_p.exp().tolist() == pytest.approx([1 / (1 + math.exp(-each)) for each in z.tolist()])
    assert (log_p.exp() + log_not_p.exp()).tolist() == pytest.approx([1, 1, 1])


def test_the_label_loss_is_the_mean_over_the_tokens_of_the_labels_and_of_nothing_else():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 4, 7), torch.randint(0, 7, (2, 4))
    said = torch.tensor([[False, True, True, False], [False, False, False, True]])
    total = 0.0
    for row, place in ((0, 1), (0, 2), (1, 3)):
        weights = [math.exp(float(value)) for value in logits[row, place]]
        total -= math.log(weights[int(targets[row, place])] / sum(weights))
    assert float(label_nll(logits, targets, said)) == pytest.approx(total / 3, rel=1e-5)


def test_hard_negatives_are_drawn_by_a_softmax_behind_the_nearest():
    cosines = torch.tensor([1.0, 0.9, 0.8, 0.7, 0.5])
    weights = hard_negative_weights(cosines, skip=2, temperature=0.1)
    exponentials = [math.exp(each / 0.1) for each in (0.8, 0.7, 0.5)]
    assert weights.tolist() == pytest.approx([0, 0, *(each / sum(exponentials) for each in exponentials)], rel=1e-4)
    assert hard_negative_weights(cosines, skip=9, temperature=0.1).tolist() == [0] * 5


def test_the_rank_share_counts_pairs():
    torch.manual_seed(0)
    inside, outside = torch.randint(0, 6, (13,)).float(), torch.randint(0, 5, (9,)).float()
    pairs = [(1.0 if a > b else 0.5 if a == b else 0.0) for a in inside.tolist() for b in outside.tolist()]
    assert rank_share(inside, outside) == pytest.approx(sum(pairs) / len(pairs))


def test_the_threshold_is_the_nearest_to_the_published_one_within_a_standard_error_of_the_best():
    torch.manual_seed(0)
    for _ in range(6):
        inside, outside = torch.rand(11) * 0.7 + 0.3, torch.rand(17) * 0.7
        grid = [each / 200 for each in range(200)]
        accuracies = {each: balanced_accuracy(inside, outside, each) for each in grid}
        best = max(grid, key=lambda each: accuracies[each])
        kept, left = float((inside > best).double().mean()), float((outside <= best).double().mean())
        error = math.sqrt(kept * (1 - kept) / 11 + left * (1 - left) / 17) / 2
        found = best_threshold(inside, outside)
        assert balanced_accuracy(inside, outside, found) >= accuracies[best] - error - 0.02
        nearer = [each for each in grid if abs(each - 0.5) < abs(found - 0.5) - 0.02]
        assert all(accuracies[each] < accuracies[best] - error + 0.02 for each in nearer)
    assert best_threshold(torch.tensor([0.6]), torch.tensor([0.4])) == 0.5
    assert best_threshold(torch.tensor([0.9] * 9), torch.tensor([0.6] * 9)) == 0.75  # nothing to trade: no error
