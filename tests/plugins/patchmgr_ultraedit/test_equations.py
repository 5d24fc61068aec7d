"""UltraEdit's equations against dense algebra in float64, on shapes that a transposition cannot pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchmgr_ultraedit.equations import Moments, directions, ridge_change, ridge_factors, worth_factors

D_IN, D_OUT = 6, 4
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def rows(seed, tokens, width):
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed)).double()


@given(SEEDS, st.lists(st.integers(min_value=1, max_value=5), min_size=2, max_size=4))
def test_moments_of_parts_in_any_order_are_those_of_the_whole(seed, sizes):
    Z = 3 + 2 * rows(seed, sum(sizes), D_IN)
    merged, *others = [Moments.of(part) for part in reversed(Z.split(sizes))]
    for other in others:
        merged = merged.merged(other)
    assert merged.count == len(Z)
    torch.testing.assert_close(merged.mean, Z.mean(0))
    torch.testing.assert_close(merged.squares, (len(Z) - 1) * Z.var(0))


def test_normalising_takes_out_mean_and_spread():
    Z = 3 + 2 * rows(0, 50, D_IN)
    normalised = Moments.of(Z).normalised(Z)
    torch.testing.assert_close(normalised.mean(0), torch.zeros(D_IN).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(normalised.std(0), torch.ones(D_IN).double(), rtol=1e-6, atol=0)


def test_what_never_varies_normalises_to_nothing():
    Z = torch.ones(3, D_IN).double()
    assert not Moments.of(Z).normalised(Z).any()
    assert not Moments.of(Z[:1]).normalised(Z[:1]).any()


def test_a_token_moves_against_its_gradient_by_the_square_of_its_key():
    k, g = torch.tensor([[1.0, 2.0], [0.0, 3.0]]).double(), torch.tensor([[1.0, -1.0, 0.0], [2.0, 0.0, 0.0]]).double()
    assert directions(k, g).tolist() == [[-5.0, 5.0, 0.0], [-18.0, 0.0, 0.0]]


@given(SEEDS, st.integers(min_value=1, max_value=9), st.floats(min_value=1e-2, max_value=1e2))
def test_the_small_system_gives_the_change_of_the_large_one(seed, tokens, ridge):
    K, D = rows(seed, tokens, D_IN), rows(seed + 1, tokens, D_OUT)
    left, right = ridge_factors(K, D, ridge)
    expected = torch.linalg.inv(K.T @ K + ridge * torch.eye(D_IN).double()) @ K.T @ D
    torch.testing.assert_close(left @ right, expected.T)
    torch.testing.assert_close(ridge_change(K, D, ridge), expected.T)


def test_a_weak_ridge_moves_every_output_as_wanted():
    K, D = rows(0, 3, D_IN), rows(1, 3, D_OUT)
    torch.testing.assert_close(K @ ridge_change(K, D, 1e-9).T, D, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("tokens", "worth"), [(2, True), (3, False)])
def test_factors_are_given_while_they_are_no_larger_than_the_change(tokens, worth):
    assert worth_factors(rows(0, tokens, D_IN), rows(0, tokens, D_OUT)) is worth  # 20 numbers against 24, and 30
