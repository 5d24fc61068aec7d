"""Knowledge Neurons (arXiv:2104.08696) as pure functions.

Glossary: a *neuron* is one input of a block's down-projection W (d_out, d_in), at the last token of the prompt; a its
activation there; P the probability of the answer. A neuron's *score* is the integral of ∂P/∂a from 0 to a, times a.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def scales(steps: int) -> Float[Tensor, " steps"]:
    """Shares of a at which gradients are taken: from 0 to 1, both included; one step is 0 alone.

    >>> scales(3).tolist(), scales(1).tolist()
    ([0.0, 0.5, 1.0], [0.0])
    """
    return torch.linspace(0, 1, steps)


def scores(
    a: Float[Tensor, "rows d_in"], gradients: Float[Tensor, "rows steps d_out"], W: Float[Tensor, "d_out d_in"]
) -> Float[Tensor, "rows d_in"]:
    """Attr of the paper's eq. 5: a / m · Σ_k ∂P/∂a at a·scales[k]. Returns (rows, d_in).

    Args:
        a: activations.
        gradients: ∂P by what the down-projection gives, which Wᵀ turns into ∂P by what it is given.
        W: the down-projection.
    """
    return a * (gradients.sum(1) @ W) / gradients.shape[1]


def coarse(scores: Float[Tensor, " neurons"], threshold: float) -> Bool[Tensor, " neurons"]:
    """Neurons of all layers above ``threshold`` times the highest score (§3.2 of the paper).

    >>> coarse(torch.tensor([0.1, 1.0, 0.3]), 0.2).tolist()
    [False, True, True]
    """
    return scores > threshold * scores.max()


def shared(found: Bool[Tensor, "prompts neurons"], share: float) -> Bool[Tensor, " neurons"]:
    """Neurons found in more than this share of the prompts (§3.3 of the paper).

    >>> shared(torch.tensor([[True, True], [True, False]]), 0.5).tolist()
    [True, False]
    """
    return found.sum(0) > share * len(found)


def change(
    new: Float[Tensor, "new_tokens d_out"], old: Float[Tensor, "old_tokens d_out"], new_weight: float, old_weight: float
) -> Float[Tensor, " d_out"]:
    """What is added to the value of every found neuron: λ₂ E(new) − λ₁ E(old) (§5.1 of the paper). (d_out,).

    Of an answer of several tokens each counts half its weight, as in the published code.

    >>> change(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 2.0, 1.0).tolist()
    [2.0, -1.0]
    """
    return _weighted(new, new_weight) - _weighted(old, old_weight)


def _weighted(embeddings: Float[Tensor, "tokens d_out"], weight: float) -> Float[Tensor, " d_out"]:
    return embeddings.sum(0) * (weight if len(embeddings) == 1 else weight / 2)
