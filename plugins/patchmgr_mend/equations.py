"""MEND (arXiv:2110.11309) and MALMEN's aggregation (arXiv:2311.04661) as pure functions.

Glossary: at one edited linear map W (d_out, d_in), u is what goes into it at a token and δ the gradient of an edit's
loss by what comes out, so that the gradient of W is Σ δ uᵀ over tokens; ũ, δ̃ are what a network makes of the two; α is
the edit rate of the map, λ its ridge. Edits come in *groups* that are made together; groups do not see each other.
Absent tokens are rows of zeros, which change nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from patchmgr_ultraedit.equations import worth_factors

EPSILON = 1e-7
"""Added to a spread, as published."""


def normalised(
    Z: Float[Tensor, "tokens d"], mean: Float[Tensor, " d"], spread: Float[Tensor, " d"]
) -> Float[Tensor, "tokens d"]:
    """(z − mean) / (spread + ε); 0 where nothing ever varied, such as a neuron that never fired in training."""
    return torch.where(spread > 0, (Z - mean) / (spread + EPSILON), 0.0)


def residual_layer(
    h: Float[Tensor, "tokens d"],
    U: Float[Tensor, "d rank"],
    V: Float[Tensor, "rank d"],
    b: Float[Tensor, " d"],
    scale: Float[Tensor, " d"],
    shift: Float[Tensor, " d"],
) -> Float[Tensor, "tokens d"]:
    """One layer of MEND's network, eq. 4: h + max(0, s ⊙ (U V h + b) + t); scale s and shift t are of one map.

    The clamp and not a rectifier: its gradient at 0, where training begins, is 1.
    """
    return h + (scale * (h @ V.T @ U.T + b) + shift).clamp(min=0)


def summed(
    u_tilde: Float[Tensor, "groups tokens d_in"],
    delta_tilde: Float[Tensor, "groups tokens d_out"],
    alpha: Float[Tensor, ""],
) -> tuple[Float[Tensor, "groups tokens d_out"], Float[Tensor, "groups tokens d_in"]]:
    """Factors (D, A) of ΔW = Σ_t d_t a_tᵀ = −α Σ_t δ̃_t ũ_tᵀ, MEND's change."""
    return -alpha * delta_tilde, u_tilde


def ridged(
    u: Float[Tensor, "groups tokens d_in"],
    u_tilde: Float[Tensor, "groups tokens d_in"],
    delta_tilde: Float[Tensor, "groups tokens d_out"],
    alpha: Float[Tensor, ""],
    lambda_: Float[Tensor, ""],
) -> tuple[Float[Tensor, "groups tokens d_out"], Float[Tensor, "groups tokens d_in"]]:
    """Factors (D, A) of MALMEN's ΔW = DᵀU(UᵀU + λI)⁻¹, with rows d_t = −α (u_t·ũ_t) δ̃_t of D and u_t of U.

    d_t is how far MEND's change for the one token would move its output; ΔW is the least change, by λ, that moves
    every output so far. A = U(UᵀU + λI)⁻¹ = (UUᵀ + λI)⁻¹U, whose system is as large as u is wide or as there are
    tokens, whichever is less, in float64.
    """
    D = -alpha * (u * u_tilde).sum(-1, keepdim=True) * delta_tilde
    U = u.double()
    many = U.shape[1] > U.shape[2]
    gram = U.mT @ U if many else U @ U.mT
    damped = gram + lambda_.double() * torch.eye(gram.shape[-1], dtype=torch.float64, device=u.device)
    A: Tensor = torch.linalg.solve(damped, U.mT).mT if many else torch.linalg.solve(damped, U)
    return D, A.to(u.dtype)


def moved(
    x: Float[Tensor, "places d_in"], D: Float[Tensor, "tokens d_out"], A: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "places d_out"]:
    """ΔW x for the change of a group; ΔW is made as a matrix only where its factors are larger."""
    return x @ A.mT @ D if worth_factors(A, D) else x @ (A.mT @ D)


def present(u: Float[Tensor, "*tokens d_in"], delta: Float[Tensor, "*tokens d_out"]) -> Bool[Tensor, "*tokens"]:
    """Tokens that count: those of which neither u nor δ is nothing but zeros, as published."""
    return (u != 0).any(-1) & (delta != 0).any(-1)


def divergence(
    before: Float[Tensor, "places vocabulary"],
    after: Float[Tensor, "places vocabulary"],
    weights: Float[Tensor, " places"],
) -> Float[Tensor, ""]:
    """Σ w · KL(before ‖ after) of logits: the loss that keeps what is unrelated, eq. 3."""
    return (weights * divergences(before, after)).sum()


def divergences(
    before: Float[Tensor, "places vocabulary"], after: Float[Tensor, "places vocabulary"]
) -> Float[Tensor, " places"]:
    """KL(before ‖ after) at each place."""
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def means_of_groups(
    values: Num[Tensor, " places"] | Bool[Tensor, " places"],
    weights: Num[Tensor, " places"] | Bool[Tensor, " places"],
    groups: Int[Tensor, " places"],
) -> Float[Tensor, " present"]:
    """The weighted mean of each group of which there is a place with a weight, float64."""
    n = int(groups.max()) + 1 if len(groups) else 0
    total = torch.zeros(n, 2, dtype=torch.float64, device=groups.device)
    total = total.index_add(0, groups, torch.stack([values * weights, weights], -1).double())
    present = total[total[:, 1] > 0]
    return present[:, 0] / present[:, 1]
