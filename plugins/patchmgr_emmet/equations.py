"""EMMET's update of a layer (arXiv:2403.14236), held to exactly or with slack, as pure functions, in float64.

Glossary: K keys of n edits (d_in, n), R what their values lack (d_out, n), C second moment of keys, λ its weight, ε the
slack that the equality is given: W' = W + R (KᵀC'⁻¹K + εI)⁻¹KᵀC'⁻¹ with C' = λC.

Two things follow that the paper does not dwell on. With ε = 0, λ cancels. With ε > 0 the change is MEMIT's (eq. 14 of
arXiv:2210.07229) at one layer with the weight ελ, so λ and ε count only as their product.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def update_keys(
    Y: Float[Tensor, "d_in edits"], G: Float[Tensor, "edits edits"], weight: float, slack: float
) -> Float[Tensor, "edits d_in"]:
    """(KᵀC'⁻¹K + εI)⁻¹KᵀC'⁻¹, the right factor of the change. Returns (n, d_in).

    With ε = 0 the change gives every key its value exactly, and for one key it is ROME's eq. 2. Two edits with the same
    key cannot both be held to, then the result is not finite or useless; a slack as small as rounding mends that.

    Args:
        Y: C⁻¹K.
        G: KᵀC⁻¹K.
        weight: λ.
        slack: ε.

    >>> K = torch.tensor([[2.0], [0.0]]).double()
    >>> update_keys(K, K.T @ K, 1.0, 0.0).tolist()
    [[0.5, 0.0]]
    """
    system = G / weight + slack * torch.eye(len(G), dtype=G.dtype, device=G.device)
    solved: Tensor = torch.linalg.solve(system, Y.T / weight)
    return solved


def slack_of_share(G: Float[Tensor, "edits edits"], weight: float, share: float) -> float:
    """ε = share · mean_j kⱼᵀC'⁻¹kⱼ: a lone edit then gets 1/(1 + share) of what it lacks, whatever the units of k."""
    return share * float(G.diagonal().mean()) / weight
