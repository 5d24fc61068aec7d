"""Each formula equals itself worked out with loops and whole matrices."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from literal_mend import ridge_change, welford
from patchmgr_mend.equations import (
    divergence,
    divergences,
    means_of_groups,
    moved,
    normalised,
    present,
    residual_layer,
    ridged,
    summed,
)
from patchmgr_mend.network import Network

TOKENS, D_IN, D_OUT, RANK = 5, 6, 4, 3


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_a_layer_is_the_residual_of_a_clamped_low_rank_map():
    h, U, V, b, scale, shift = draw(TOKENS, 10), draw(10, RANK), draw(RANK, 10), draw(10), draw(10), draw(10)
    found = residual_layer(h, U, V, b, scale, shift)
    for token in range(TOKENS):
        for place in range(10):
            inner = sum(U[place, r] * sum(V[r, j] * h[token, j] for j in range(10)) for r in range(RANK))
            wanted = h[token, place] + max(0.0, float(scale[place] * (inner + b[place]) + shift[place]))
            assert found[token, place] == pytest.approx(float(wanted))


def test_at_the_start_a_network_only_normalises_and_can_learn():
    network, Z = Network(D_IN, D_OUT, 2, RANK), torch.randn(TOKENS, D_IN + D_OUT)
    network.count(Z)
    u_tilde, delta_tilde = network(Z, 1)
    both = torch.cat([u_tilde, delta_tilde], 1)
    assert torch.allclose(both, (Z - Z.mean(0)) / Z.std(0), atol=1e-5)
    both.square().sum().backward()
    assert all(bool(U.grad.any()) for U in network.U)


def test_running_statistics_are_those_of_welford_however_tokens_come():
    rows = torch.randn(40, D_IN + D_OUT) * 3 + 1
    network = Network(D_IN, D_OUT, 1, RANK)
    for part in (rows[:1], rows[1:7], rows[7:7], rows[7:]):
        network.count(part)
    count, mean, squares = welford(list(rows.double()))
    assert int(network.n_tokens) == count == 40
    assert torch.allclose(network.mean.double(), mean, atol=1e-5)
    assert torch.allclose(network.squares.double(), squares, rtol=1e-4)
    assert network.mean.dtype == network.squares.dtype == torch.float32


def test_what_never_varied_counts_for_nothing():
    spread = torch.tensor([2.0, 0.0])
    found = normalised(torch.tensor([[3.0, 7.0]]), torch.tensor([1.0, 0.0]), spread)
    assert torch.allclose(found, torch.tensor([[1.0, 0.0]]))


def test_a_sum_is_the_sum_of_outer_products():
    u, delta, alpha = draw(2, TOKENS, D_IN), draw(2, TOKENS, D_OUT), torch.tensor(0.3).double()
    D, A = summed(u, delta, alpha)
    for group in range(2):
        wanted = -0.3 * sum(torch.outer(delta[group, t], u[group, t]) for t in range(TOKENS))
        assert torch.allclose(D[group].T @ A[group], wanted)


@pytest.mark.parametrize("tokens", [TOKENS, D_IN, 11])
def test_malmens_change_solves_the_normal_equations(tokens):
    u, u_tilde, delta = draw(2, tokens, D_IN), draw(2, tokens, D_IN), draw(2, tokens, D_OUT)
    D, A = ridged(u, u_tilde, delta, torch.tensor(0.3).double(), torch.tensor(0.7).double())
    for group in range(2):
        pairs = [(u[group, t], -0.3 * (u[group, t] @ u_tilde[group, t]) * delta[group, t]) for t in range(tokens)]
        assert torch.allclose(D[group].T @ A[group], ridge_change(pairs, 0.7))


def test_malmens_change_moves_outputs_so_far_as_mend_moves_each_alone_when_the_ridge_is_small():
    u, u_tilde, delta = draw(1, 3, D_IN), draw(1, 3, D_IN), draw(1, 3, D_OUT)
    alpha = torch.tensor(0.3).double()
    D, A = ridged(u, u_tilde, delta, alpha, torch.tensor(1e-12).double())
    for t in range(3):
        alone = -alpha * torch.outer(delta[0, t], u_tilde[0, t]) @ u[0, t]
        assert torch.allclose(D[0].T @ A[0] @ u[0, t], alone)


@pytest.mark.parametrize("tokens", [3, 8])
def test_the_ridge_is_learned_by_its_true_gradient(tokens):
    u, u_tilde, delta = draw(1, tokens, D_IN), draw(1, tokens, D_IN), draw(1, tokens, D_OUT)
    alpha, log_ridge = torch.tensor(0.3).double().requires_grad_(), torch.tensor(0.2).double().requires_grad_()

    def change(alpha, log_ridge):
        D, A = ridged(u, u_tilde, delta, alpha, log_ridge.exp())
        return D[0].T @ A[0]

    assert gradcheck(change, (alpha, log_ridge))


def test_malmens_system_is_never_larger_than_the_map_is_wide(monkeypatch):
    sizes, solve = [], torch.linalg.solve
    monkeypatch.setattr(torch.linalg, "solve", lambda a, b: sizes.append(a.shape[-1]) or solve(a, b))
    for tokens in (4, 40):
        ridged(draw(1, tokens, D_IN), draw(1, tokens, D_IN), draw(1, tokens, D_OUT), draw(1)[0], torch.tensor(1.0))
    assert sizes == [4, D_IN]


@pytest.mark.parametrize("how", ["sum", "malmen"])
def test_absent_tokens_change_nothing(how):
    u, u_tilde, delta = draw(1, TOKENS, D_IN), draw(1, TOKENS, D_IN), draw(1, TOKENS, D_OUT)
    for tensor in (u, u_tilde, delta):
        tensor[:, 3:] = 0
    alpha, ridge = torch.tensor(0.3).double(), torch.tensor(0.7).double()

    def change(n):
        parts = (u[:, :n], u_tilde[:, :n], delta[:, :n])
        D, A = summed(*parts[1:], alpha) if how == "sum" else ridged(*parts, alpha, ridge)
        return D[0].T @ A[0]

    assert torch.allclose(change(TOKENS), change(3))


def test_a_token_counts_when_both_its_sides_are_not_nothing():
    u, delta = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]), torch.tensor([[1.0], [0.0], [-1.0]])
    assert present(u, delta).tolist() == [False, False, True]


@pytest.mark.parametrize("tokens", [2, 3, 20])
def test_inputs_are_moved_by_the_change_whether_its_factors_or_the_matrix_are_smaller(tokens):
    x, D, A = draw(3, D_IN), draw(tokens, D_OUT), draw(tokens, D_IN)
    wanted = sum(torch.outer(D[t], A[t]) for t in range(tokens))
    for place in range(3):
        assert torch.allclose(moved(x, D, A)[place], wanted @ x[place])


def test_divergence_is_kullback_and_leiblers():
    before, after, weights = draw(2, 3), draw(2, 3), torch.tensor([0.25, 0.75]).double()
    p, q = before.softmax(-1), after.softmax(-1)
    wanted = sum(float(weights[i] * p[i, j] * (p[i, j] / q[i, j]).log()) for i in range(2) for j in range(3))
    assert float(divergence(before, after, weights)) == pytest.approx(wanted)
    assert float(divergence(before, before, weights)) == pytest.approx(0, abs=1e-12)
    assert float(weights @ divergences(before, after)) == pytest.approx(wanted)


def test_means_of_groups_are_those_of_each_and_groups_without_weight_are_left_out():
    values, weights = torch.tensor([1.0, 4.0, 7.0, 9.0]), torch.tensor([1.0, 2.0, 0.0, 5.0])
    found = means_of_groups(values, weights, torch.tensor([0, 0, 1, 3]))
    assert found.tolist() == [3.0, 9.0]
    assert means_of_groups(values > 2, weights > 1, torch.tensor([2, 2, 2, 2])).tolist() == [1.0]
