"""AlphaEdit's equations against dense algebra in float64, on shapes that a transposition cannot pass."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchmgr_alphaedit.equations import null_space, projected, update_keys, weight_of_share

D_IN, D_OUT, N, PAST = 6, 4, 3, 2
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
WEIGHTS = st.floats(min_value=1e-2, max_value=1e3)


def problem(seed):
    """C of four large and two small directions, K, earlier K, R: (6, 6), (6, 3), (6, 2), (4, 3)."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((50, D_IN), (D_IN, N), (D_IN, PAST), (D_OUT, N), (D_IN, D_IN))
    X, K, past, R, Q = (torch.randn(*shape, generator=generator).double() for shape in shapes)
    X = X * torch.tensor([1, 1, 1, 1, 1e-3, 1e-3]).double() @ torch.linalg.qr(Q)[0].T
    return X.T @ X / len(X), K, past, R


def literal_projector(C, threshold):
    """As published: by SVD, columns of U with a singular value below the threshold."""
    U, S, _ = torch.linalg.svd(C)
    return U[:, threshold > S] @ U[:, threshold > S].T


@settings(deadline=None)
@given(SEEDS, WEIGHTS)
def test_the_update_is_that_of_the_paper(seed, weight):
    C, K, past, _ = problem(seed)
    P = literal_projector(C, 1e-4)
    system = P @ (K @ K.T + past @ past.T) + weight * torch.eye(D_IN).double()
    expected = torch.linalg.solve(system, P @ K).T
    torch.testing.assert_close(update_keys(null_space(C, 1e-4, 0.5), K, past, weight), expected)
    alone = torch.linalg.solve(P @ K @ K.T + weight * torch.eye(D_IN).double(), P @ K).T
    torch.testing.assert_close(update_keys(null_space(C, 1e-4, 0.5), K, past[:, :0], weight), alone)


@settings(deadline=None)
@given(SEEDS)
def test_usual_keys_are_not_moved(seed):
    C, K, past, R = problem(seed)
    delta = R @ update_keys(null_space(C, 1e-4, 0.5), K, past, 1.0)
    assert torch.trace(delta @ C @ delta.T) <= 1e-4 * delta.square().sum()


@settings(deadline=None)
@given(SEEDS)
def test_the_null_space_holds_no_more_than_its_share(seed):
    C, K, _, _ = problem(seed)
    space = null_space(C, None, 0.01)
    P = projected(space, torch.eye(D_IN).double())
    assert torch.trace(P @ C) <= 0.01 * torch.trace(C)
    assert round(float(P.trace())) == space.n_directions >= 2
    torch.testing.assert_close(projected(space, projected(space, K)), projected(space, K))


@settings(deadline=None)
@given(SEEDS, st.floats(min_value=1e-6, max_value=10))
def test_the_null_space_lies_below_the_threshold_whichever_side_of_it_is_kept(seed, threshold):
    C, _, _, _ = problem(seed)
    space = null_space(C, threshold, 0.5)
    assert space.basis.shape[1] <= D_IN / 2
    torch.testing.assert_close(projected(space, torch.eye(D_IN).double()), literal_projector(C, threshold))


@settings(deadline=None)
@given(SEEDS, st.floats(min_value=0.01, max_value=10))
def test_a_lone_edit_gets_its_share(seed, share):
    C, K, past, R = problem(seed)
    space, k, r = null_space(C, 1e-4, 0.5), K[:, :1], R[:, :1]
    delta = r @ update_keys(space, k, past[:, :0], weight_of_share(space, k, share))
    torch.testing.assert_close(delta @ k, r / (1 + share))
