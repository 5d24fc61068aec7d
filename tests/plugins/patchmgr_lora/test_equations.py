"""The changes and the regulariser against the formulas written out."""

from __future__ import annotations

import torch

from patchmgr_lora.equations import adalora_change, lora_change, orthogonality_loss

GENERATOR = torch.Generator().manual_seed(0)
A, B = torch.randn(3, 6, generator=GENERATOR), torch.randn(4, 3, generator=GENERATOR)


def test_a_change_of_lora_is_the_scaled_product():
    left, right = lora_change(A, B, 4.0)
    assert torch.allclose(left @ right, 4 * B @ A)


def test_a_singular_value_of_zero_takes_no_rank():
    E = torch.tensor([[0.5], [0.0], [-2.0]])
    left, right = adalora_change(A, E, B, 0.3)
    assert left.shape == (4, 2)
    assert torch.allclose(left @ right, 0.3 * B @ torch.diag(E.squeeze(1)) @ A, atol=1e-6)


def test_orthogonal_vectors_cost_nothing_and_others_their_distance():
    orthogonal, _ = torch.linalg.qr(torch.randn(6, 3, generator=GENERATOR))
    assert orthogonality_loss([(orthogonal.T, orthogonal)]) < 1e-5
    eye = torch.eye(3)
    expected = (torch.linalg.norm(A @ A.T - eye) + torch.linalg.norm(B.T @ B - eye)) / 2
    assert torch.isclose(orthogonality_loss([(A, B)]), expected)
