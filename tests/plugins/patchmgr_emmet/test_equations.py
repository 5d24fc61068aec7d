"""EMMET's equations against dense algebra in float64: equality where ε = 0, and ROME where n = 1."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchmgr_emmet.equations import slack_of_share, update_keys
from patchmgr_keyvalue.factor import whitened
from patchmgr_rome.equations import rank_one_update

D_IN, D_OUT, N = 6, 4, 3
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
WEIGHTS = st.floats(min_value=1e-2, max_value=1e4)


def problem(seed):
    """C, K, R, W of shapes (6, 6), (6, 3), (4, 3), (4, 6)."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((50, D_IN), (D_IN, N), (D_OUT, N), (D_OUT, D_IN))
    X, K, R, W = (torch.randn(*shape, generator=generator).double() for shape in shapes)
    return X.T @ X / len(X), K, R, W


@settings(deadline=None)
@given(SEEDS, WEIGHTS, st.floats(min_value=0.01, max_value=1))
def test_the_update_is_that_of_the_paper(seed, weight, slack):
    C, K, _, _ = problem(seed)
    inverse = torch.linalg.inv(weight * C)
    expected = torch.linalg.inv(K.T @ inverse @ K + slack * torch.eye(N).double()) @ K.T @ inverse
    actual = update_keys(*whitened(K, torch.linalg.cholesky(C)), weight, slack)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


@settings(deadline=None)
@given(SEEDS, WEIGHTS)
def test_without_slack_every_key_gets_its_value(seed, weight):
    C, K, R, _ = problem(seed)
    delta = R @ update_keys(*whitened(K, torch.linalg.cholesky(C)), weight, 0.0)
    torch.testing.assert_close(delta @ K, R, rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(SEEDS, WEIGHTS)
def test_one_edit_without_slack_is_rome(seed, weight):
    C, K, R, W = problem(seed)
    k, r = K[:, :1], R[:, :1]
    delta = r @ update_keys(*whitened(k, torch.linalg.cholesky(C)), weight, 0.0)
    expected = rank_one_update(W, C, k[:, 0], W @ k[:, 0] + r[:, 0])
    torch.testing.assert_close(delta, expected)


@settings(deadline=None)
@given(SEEDS, st.floats(min_value=0.01, max_value=10), st.floats(min_value=0.01, max_value=100), WEIGHTS)
def test_a_lone_edit_gets_its_share_whatever_the_units_of_the_keys(seed, share, unit, weight):
    C, K, R, _ = problem(seed)
    K, C = unit * K[:, :1], unit**2 * C
    Y, G = whitened(K, torch.linalg.cholesky(C))
    delta = R[:, :1] @ update_keys(Y, G, weight, slack_of_share(G, weight, share))
    torch.testing.assert_close(delta @ K, R[:, :1] / (1 + share))
