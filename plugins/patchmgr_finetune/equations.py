"""Fine-tuning on edits as pure functions: the loss of an answer, a step of Adam, the limit on a change.

Glossary: δ what is added to a weight W, (d_out, d_in); a *place* is a position whose logits are read; y target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


def answer_loss(
    logits: Float[Tensor, "places vocabulary"],
    at: Int[Tensor, " tokens"],
    targets: Int[Tensor, " tokens"],
    weights: Float[Tensor, " tokens"],
) -> Float[Tensor, ""]:
    """−Σ_t w_t log P(y_t) at place ``at[t]``: a mean over edits of means over their tokens, by the weights.

    FT-M (arXiv:2401.01286, target_new) reads each token where it stands; FT-L (arXiv:2202.05262, FT+L) reads all tokens
    of an answer at the one place before it.

    >>> import torch
    >>> half, both = torch.ones(2) / 2, torch.tensor([0, 0])
    >>> float(answer_loss(torch.zeros(1, 4), both, torch.tensor([1, 3]), half))  # ln 4
    1.3862943649291992
    """
    log_p = logits.log_softmax(-1)[at, targets]
    return -(weights * log_p).sum()


@dataclass(frozen=True, eq=False)
class Moments:
    """What Adam (arXiv:1412.6980) keeps of one variable; both are written to."""

    first: Float[Tensor, "*shape"]
    second: Float[Tensor, "*shape"]


def adam_step_(
    variable: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    moments: Moments,
    step: int,
    learning_rate: float,
) -> None:
    """One step of Adam with β = (0.9, 0.999), ε = 1e-8, in place: at the size of a weight, copies count.

    ``step`` counts from 1. Written out because ``torch.optim`` pulls in a compiler that takes seconds to import.
    """
    moments.first.lerp_(gradient, 0.1)
    moments.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    denominator = moments.second.sqrt().div_((1 - 0.999**step) ** 0.5).add_(1e-8)
    variable.addcdiv_(moments.first, denominator, value=-learning_rate / (1 - 0.9**step))


def derived_learning_rate(W: Float[Tensor, "d_out d_in"], share: float) -> float:
    """``share`` of W's root mean square: a step of Adam moves each element by about the learning rate.

    The published 5e-4 is a share of 0.025 of a weight of 0.02.

    >>> import torch
    >>> round(derived_learning_rate(torch.full((4, 6), -0.02), 0.025), 6)
    0.0005
    """
    return share * float(W.double().square().mean().sqrt())
