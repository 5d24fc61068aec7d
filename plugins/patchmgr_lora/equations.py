"""What an adapter adds to a weight, and how AdaLoRA keeps its singular vectors apart, as pure functions.

Glossary: A (rank, d_in) and B (d_out, rank) the trained factors, E (rank, 1) AdaLoRA's singular values, α the scale.
Each pair returned is (left, right) with ΔW = left @ right.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def lora_change(A: Float[Tensor, "rank d_in"], B: Float[Tensor, "d_out rank"], scale: float) -> Pair:
    """ΔW = α/r · B A (arXiv:2106.09685, eq. 3); ``scale`` is α/r."""
    return scale * B, A


def adalora_change(
    A: Float[Tensor, "rank d_in"], E: Float[Tensor, "rank 1"], B: Float[Tensor, "d_out rank"], scale: float
) -> Pair:
    """ΔW = ``scale`` · B diag(E) A (arXiv:2303.10512, eq. 3), without the singular values that were given up.

    >>> left, right = adalora_change(torch.ones(2, 3), torch.tensor([[0.0], [2.0]]), torch.ones(4, 2), 0.5)
    >>> tuple(left.shape), right.tolist()
    ((4, 1), [[2.0, 2.0, 2.0]])
    """
    kept = E.squeeze(1) != 0
    return scale * B[:, kept], (A * E)[kept]


def orthogonality_loss(
    pairs: Sequence[tuple[Float[Tensor, "_ _"], Float[Tensor, "_ _"]]],
) -> Float[Tensor, ""]:
    """Mean over all A and B of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖, Frobenius (arXiv:2303.10512, eq. 4, which squares them).

    Not squared, as the library has it.
    """
    grams = [gram for A, B in pairs for gram in (A @ A.T, B.T @ B)]
    return torch.stack([torch.linalg.matrix_norm(gram - torch.eye(len(gram)).to(gram)) for gram in grams]).mean()
