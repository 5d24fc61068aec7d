"""SERAC's equations (arXiv:2206.06520) as pure functions.

Glossary: *p* is the probability that a question lies in the scope of an entry; φ the encoder; d² = ‖φ(x) − φ(m)‖² the
squared distance of a question x from the memory side m of an entry, which is its prompt and its label.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def squared_distance(x: Float[Tensor, "pairs width"], m: Float[Tensor, "pairs width"]) -> Float[Tensor, " pairs"]:
    """d² of questions and memory sides, row by row."""
    return (x - m).square().sum(1)


def log_in_scope(d2: Float[Tensor, " pairs"]) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """Logarithms of p and of 1 − p in the embedding form, p = exp(−d²).

    Where p is 1 the second is held at log ε, as in the published code.
    """
    eps = torch.finfo(d2.dtype).eps
    return -d2, (-torch.expm1(-d2)).clamp(min=eps).log()


def log_in_scope_of_logits(z: Float[Tensor, " pairs"]) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """Logarithms of p and of 1 − p in the cross-attention form, p = σ(z)."""
    return functional.logsigmoid(z), functional.logsigmoid(-z)


def balanced_bce(
    log_p: Float[Tensor, " pairs"], log_not_p: Float[Tensor, " pairs"], inside: Bool[Tensor, " pairs"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy in which pairs in scope and pairs out of it weigh alike, however many there are of each.

    −mean(log p over those in scope) − mean(log(1 − p) over the others); a kind without pairs adds nothing.
    """
    loss = log_p.new_zeros(())
    if bool(inside.any()):
        loss = loss - log_p[inside].mean()
    if not bool(inside.all()):
        loss = loss - log_not_p[~inside].mean()
    return loss


def label_nll(
    logits: Float[Tensor, "rows width vocabulary"], targets: Int[Tensor, "rows width"], said: Bool[Tensor, "rows width"]
) -> Float[Tensor, ""]:
    """Mean −log P over the tokens of the labels, those of all rows together.

    Args:
        logits: at each place, for the token behind it.
        targets: the token behind each place.
        said: where that token belongs to a label.
    """
    return functional.cross_entropy(logits[said].float(), targets[said])


def hard_negative_weights(
    cosines: Float[Tensor, " ranked"], *, skip: int, temperature: float
) -> Float[Tensor, " ranked"]:
    """How likely each neighbour is drawn as a hard negative: softmax(cosine / temperature) behind the nearest ones.

    Args:
        cosines: of the neighbours, the nearest first; published: 100 of them.
        skip: the nearest, which may be the same question in other words, are never drawn; published: 25.
        temperature: published: 0.1.

    Returns:
        Probabilities; empty of weight where there are no neighbours behind those.
    """
    weights = torch.zeros_like(cosines)
    weights[skip:] = (cosines[skip:] / temperature).softmax(0)
    return weights


def rank_share(inside: Float[Tensor, " in"], outside: Float[Tensor, " out"]) -> float:
    """Area under the ROC curve: the share of pairs in which the one in scope scores higher; equal ones count half.

    >>> rank_share(torch.tensor([0.9, 0.4]), torch.tensor([0.4, 0.1]))
    0.875
    """
    ordered = outside.sort().values
    below = torch.searchsorted(ordered, inside, right=False)
    up_to = torch.searchsorted(ordered, inside, right=True)
    return float((below + up_to).double().mean() / 2 / len(outside))


def balanced_accuracy(inside: Float[Tensor, " in"], outside: Float[Tensor, " out"], threshold: float) -> float:
    """Mean of the share in scope that scores above the threshold and the share out of it that does not.

    >>> balanced_accuracy(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.1]), 0.5)
    0.75
    """
    return float(((inside > threshold).double().mean() + (outside <= threshold).double().mean()) / 2)


def best_threshold(inside: Float[Tensor, " in"], outside: Float[Tensor, " out"], *, published: float = 0.5) -> float:
    """Of the thresholds whose balanced accuracy is within one standard error of the best, that nearest the published.

    The best alone follows the accidents of few questions; the standard error is that of the best.

    >>> best_threshold(torch.tensor([0.9, 0.8]), torch.tensor([0.2, 0.6]))
    0.7
    >>> best_threshold(torch.ones(1), torch.zeros(1))
    0.5
    """
    scores = torch.cat([inside, outside]).double().unique()
    middles = (scores[1:] + scores[:-1]) / 2
    candidates = torch.cat([middles, torch.tensor([published], dtype=torch.float64)])
    kept = 1 - torch.searchsorted(inside.double().sort().values, candidates, right=True) / len(inside)
    left = torch.searchsorted(outside.double().sort().values, candidates, right=True) / len(outside)
    accuracy = (kept + left) / 2
    best = int(accuracy.argmax())
    variance = kept[best] * (1 - kept[best]) / len(inside) + left[best] * (1 - left[best]) / len(outside)
    good = candidates[accuracy >= accuracy[best] - variance.sqrt() / 2 - 1e-9]
    return round(float(good[(good - published).abs().argmin()]), 6)
