"""MEMIT's equations against dense algebra in float64, on shapes that a transposition cannot pass."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchmgr_keyvalue.factor import whitened
from patchmgr_memit.equations import update_keys, weight_of_share

D_IN, D_OUT, N = 6, 4, 3
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
WEIGHTS = st.floats(min_value=1e-2, max_value=1e4)


def problem(seed):
    """C, K, R of shapes (6, 6), (6, 3), (4, 3)."""
    generator = torch.Generator().manual_seed(seed)
    X, K, R = (torch.randn(*shape, generator=generator).double() for shape in ((50, D_IN), (D_IN, N), (D_OUT, N)))
    return X.T @ X / len(X), K, R


@settings(deadline=None)
@given(SEEDS, WEIGHTS)
def test_the_fast_form_is_equation_14(seed, weight):
    C, K, _ = problem(seed)
    expected = torch.linalg.solve(weight * C + K @ K.T, K).T
    torch.testing.assert_close(update_keys(*whitened(K, torch.linalg.cholesky(C)), weight), expected)
    plain = torch.linalg.solve(weight * torch.eye(D_IN).double() + K @ K.T, K).T
    torch.testing.assert_close(update_keys(*whitened(K, None), weight), plain)


@settings(deadline=None)
@given(SEEDS, WEIGHTS)
def test_the_change_minimises_what_the_paper_weighs(seed, weight):
    """‖ΔK − R‖² + λ tr(Δ C Δᵀ), which eq. 14 solves: a step to any side costs more."""
    C, K, R = problem(seed)
    delta = R @ update_keys(*whitened(K, torch.linalg.cholesky(C)), weight)

    def cost(change):
        return (change @ K - R).square().sum() + weight * torch.trace(change @ C @ change.T)

    aside = torch.randn(D_OUT, D_IN, generator=torch.Generator().manual_seed(seed)).double()
    assert cost(delta) <= cost(delta + 0.01 * aside)


@settings(deadline=None)
@given(SEEDS, st.floats(min_value=0.01, max_value=10), st.floats(min_value=0.01, max_value=100))
def test_a_lone_edit_gets_its_share_whatever_the_units_of_the_keys(seed, share, unit):
    C, K, R = problem(seed)
    K, C = unit * K[:, :1], unit**2 * C
    Y, G = whitened(K, torch.linalg.cholesky(C))
    delta = R[:, :1] @ update_keys(Y, G, weight_of_share(G, share))
    torch.testing.assert_close(delta @ K, R[:, :1] / (1 + share))
