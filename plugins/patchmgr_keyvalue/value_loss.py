"""The loss that a value is optimised by, and the steps of the optimiser, as pure functions.

From ROME (arXiv:2202.05262), eq. 4, with the decay and the projection of its published code. ``edits`` values are
optimised side by side: their losses are independent and Adam works element by element, so each goes its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def target_loss(
    logits: Float[Tensor, "tokens vocabulary"],
    targets: Int[Tensor, " tokens"],
    weights: Float[Tensor, " tokens"],
    edit: Int[Tensor, " tokens"],
    n_edits: int,
) -> Float[Tensor, " edits"]:
    """−mean_j (1/T) Σ_t log P(y_t | x_j, y_<t), the first term of eq. 4.

    ``weights`` hold 1/(rows of the edit · T); ``edit`` says whose each token is. Returns (edits,).
    """
    log_p = logits.log_softmax(-1).gather(1, targets.unsqueeze(1)).squeeze(1)
    losses = torch.zeros(n_edits, device=logits.device)
    return losses.index_add(0, edit, -log_p * weights)


def essence_loss(
    logits: Float[Tensor, "edits vocabulary"], logits_before: Float[Tensor, "edits vocabulary"]
) -> Float[Tensor, " edits"]:
    """KL(P_δ ‖ P₀) at the subject in "{subject} is a", the second term of eq. 4. Returns (edits,)."""
    log_p, log_p0 = logits.log_softmax(-1), logits_before.log_softmax(-1)
    return (log_p.exp() * (log_p - log_p0)).sum(-1)


def all_likeliest(
    logits: Float[Tensor, "tokens vocabulary"],
    targets: Int[Tensor, " tokens"],
    edit: Int[Tensor, " tokens"],
    n_edits: int,
) -> Bool[Tensor, " edits"]:
    """Whether every token of an edit is the likeliest at its place. Returns (edits,)."""
    other = (logits.argmax(-1) != targets).float()
    return torch.zeros(n_edits, device=logits.device).index_add(0, edit, other) == 0


def decay_loss(
    delta: Float[Tensor, "edits sites d_out"], value0: Float[Tensor, "edits sites d_out"]
) -> Float[Tensor, "edits sites"]:
    """‖δ‖₂ / ‖v₀‖₂², as published (not squared above). Returns (edits, sites)."""
    norm, norm0 = torch.linalg.vector_norm(delta, dim=-1), torch.linalg.vector_norm(value0, dim=-1)
    return torch.divide(norm, norm0.square())


def project(
    delta: Float[Tensor, "edits sites d_out"], value0: Float[Tensor, "edits sites d_out"], clamp: float
) -> Float[Tensor, "edits sites d_out"]:
    """δ scaled down to ‖δ‖ ≤ clamp · ‖v₀‖ where it is longer, at each site by itself. Returns (edits, sites, d_out)."""
    norm = torch.linalg.vector_norm(delta, dim=-1, keepdim=True)
    longest = clamp * torch.linalg.vector_norm(value0, dim=-1, keepdim=True)
    return torch.where(norm > longest, delta * (longest / norm), delta)


@dataclass(frozen=True, eq=False)
class Moments:
    """State of Adam (arXiv:1412.6980)."""

    first: Float[Tensor, "edits sites d_out"]
    second: Float[Tensor, "edits sites d_out"]
    step: int = 0

    def only(self, kept: Int[Tensor, " kept"]) -> Moments:
        """Those of some edits."""
        return Moments(self.first[kept], self.second[kept], self.step)


def adam_step(
    delta: Float[Tensor, "edits sites d_out"],
    gradient: Float[Tensor, "edits sites d_out"],
    moments: Moments,
    learning_rate: float | Float[Tensor, "edits 1 1"],
) -> tuple[Float[Tensor, "edits sites d_out"], Moments]:
    """One step of Adam with β = (0.9, 0.999), ε = 1e-8. Returns δ, (edits, sites, d_out), and the new state.

    The learning rate is one for all edits, or one for each.

    Written out because ``torch.optim`` pulls in a compiler that takes seconds to import.
    """
    step = moments.step + 1
    first = 0.9 * moments.first + 0.1 * gradient
    second = 0.999 * moments.second + 0.001 * gradient.square()
    denominator = (second / (1 - 0.999**step)).sqrt() + 1e-8
    moved = delta - learning_rate * (first / (1 - 0.9**step)) / denominator
    return moved, Moments(first, second, step)
