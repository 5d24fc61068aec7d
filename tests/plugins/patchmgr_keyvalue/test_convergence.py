"""The figures of convergence are what they say: distances of halves, and what a much larger sample would show."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.contract import LoadedModel
from patchmgr_keyvalue.convergence import held_out_keys, measured
from tiny_models import INNER, tiny_model, tiny_tokenizer


def drawn(n_tokens, d_in=6, seed=0):
    """Keys with a spread like that of real ones: few strong directions."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -1.5, d_in).double()
    return torch.randn(n_tokens, d_in, generator=generator, dtype=torch.float64) * scale


def figures(keys, held_out, damping=0.0):
    first = keys[: len(keys) // 2]
    return measured(keys.T @ keys, first.T @ first, len(keys), len(first), held_out, damping)


def test_the_figures_are_those_of_the_two_halves_written_out():
    keys, held_out = drawn(50), drawn(7, seed=1)
    found = figures(keys, held_out, damping=0.1)
    C1, C2 = keys[:25].T @ keys[:25] / 25, keys[25:].T @ keys[25:] / 25
    assert found.difference == pytest.approx(float((C1 - C2).norm() / ((C1 + C2) / 2).norm()))
    cosines = []
    for key in held_out:
        u1, u2 = (torch.linalg.inv(C + 0.1 * C.diagonal().mean() * torch.eye(6).double()) @ key for C in (C1, C2))
        cosines.append(float(u1 @ u2 / (u1.norm() * u2.norm())))
    assert found.cosine == pytest.approx(sum(cosines) / 7)
    assert found.agreement == pytest.approx((2 * found.cosine / (1 + found.cosine)) ** 0.5)


@pytest.mark.parametrize("n_tokens", [60, 240, 2000])
def test_the_expected_agreement_is_what_a_much_larger_sample_shows(n_tokens):
    endless, held_out = torch.diag(torch.logspace(0, -1.5, 6).double() ** 2), drawn(200, seed=9)
    true = torch.linalg.solve(endless, held_out.T)
    expected, shown = [], []
    for seed in range(20):
        keys = drawn(n_tokens, seed=100 + seed)
        expected.append(figures(keys, held_out).agreement)
        u = torch.linalg.solve(keys.T @ keys, held_out.T)
        shown.append(float(torch.nn.functional.cosine_similarity(u, true, dim=0).mean()))
    missing, truly_missing = 1 - sum(expected) / 20, 1 - sum(shown) / 20
    assert missing == pytest.approx(truly_missing, rel=0.35)


def test_equal_halves_agree_wholly_and_an_empty_one_says_nothing():
    keys = drawn(20)
    same = torch.cat([keys, keys])
    found = figures(same, drawn(5, seed=1))
    assert (found.difference, found.agreement) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    assert figures(keys[:1], drawn(5, seed=1)) is None


def test_halves_that_cannot_be_inverted_agree_in_nothing():
    assert figures(drawn(6), drawn(5, seed=1)).agreement == 0.0


def test_held_out_keys_are_read_from_every_projection_and_leave_the_model_alone():
    loaded = LoadedModel(tiny_model("llama"), tiny_tokenizer(), "root")
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in (0, 2)]
    state = torch.random.get_rng_state()
    keys = held_out_keys(loaded, projections)
    assert [each.shape for each in keys] == [(128, INNER)] * 2
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(map(torch.equal, keys, held_out_keys(loaded, projections)))
