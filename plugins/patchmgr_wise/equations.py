"""WISE as pure functions (arXiv:2405.14768): how much a side memory stirs, margins, masks, and merging by TIES.

Glossary: W, here the down-projection of an MLP, (d_out, d_in), is the main memory; Δ = W' − W what a side memory adds;
A(x) the inputs of the projection at the tokens of a text x, (tokens, d_in). A side memory *stirs* by Δ_act(x) (eq. 4).
A *shard* is the Δ of some edits, zero outside its random mask of density ρ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Pool = Literal["mean", "max", "last"]


def stir(
    A: Float[Tensor, "tokens d_in"], change: Float[Tensor, "d_out d_in"], pool: Pool = "mean"
) -> Float[Tensor, ""]:
    """Δ_act(x) = ‖A(x) · (W' − W)‖₂ of eq. 4, of the tokens of x their mean, the largest, or that of the last."""
    norms: Tensor = (A @ change.T).norm(dim=1)
    if pool == "last":
        return norms[-1]
    return norms.max() if pool == "max" else norms.mean()


def margin_loss(
    inside: Float[Tensor, " edits"], outside: Float[Tensor, " texts"], alpha: float, beta: float, gamma: float
) -> Float[Tensor, ""]:
    """L_a of eq. 5 over edits x_e and irrelevant texts x_i.

    max(0, Δ_act(x_i) − α) + max(0, β − Δ_act(x_e)) + max(0, γ − (Δ_act(x_e) − Δ_act(x_i))), each term the mean over
    those texts, edits and pairs that miss their margin, as the published code has it.
    """
    apart = gamma - (inside[:, None] - outside[None, :])
    return _mean_missed(outside - alpha) + _mean_missed(beta - inside) + _mean_missed(apart)


def _mean_missed(by: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    missed = by > 0
    return (by * missed).sum() / missed.sum().clamp(min=1)


def random_mask(shape: tuple[int, int], share: float, generator: torch.Generator) -> Bool[Tensor, "d_out d_in"]:
    """M with each element true with probability ρ, on the CPU."""
    return torch.rand(shape, generator=generator) < share


def trimmed(change: Float[Tensor, "d_out d_in"], density: float) -> Float[Tensor, "d_out d_in"]:
    """The largest elements by magnitude, the rest zero (TIES, arXiv:2306.01708, step 1).

    ⌊density · size⌋ of them, and one at least.
    """
    n_kept = max(int(density * change.numel()), 1)
    if n_kept == change.numel():
        return change
    kept = torch.zeros_like(change).reshape(-1)
    places = change.abs().reshape(-1).topk(n_kept).indices
    kept[places] = change.reshape(-1)[places]
    return kept.reshape(change.shape)


def merged(changes: Sequence[Float[Tensor, "d_out d_in"]], density: float) -> Float[Tensor, "d_out d_in"]:
    """TIES of shards (eq. 8): trimmed; each element's sign elected by the sum; the mean of those that have that sign.

    One shard alone is itself.
    """
    if len(changes) == 1:
        return changes[0]
    kept = torch.stack([trimmed(change, density) for change in changes])
    elected = torch.where(kept.sum(dim=0) >= 0, 1.0, -1.0)
    agree = kept.sign() == elected
    number = agree.sum(dim=0).clamp(min=1)
    return (kept * agree).sum(dim=0) / number


def descended_(
    change: Float[Tensor, "d_out d_in"],
    gradient: Float[Tensor, "d_out d_in"],
    mask: Bool[Tensor, "d_out d_in"],
    learning_rate: float,
    limit: float,
) -> None:
    """Δ ← clamp(Δ − η · M ⊙ ∇, ±limit), in place (eq. 7 with the published limit on each element)."""
    change.sub_(gradient * mask, alpha=learning_rate).clamp_(-limit, limit)
