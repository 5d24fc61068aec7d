"""The metrics' arithmetic as pure functions of answers; names and definitions are the field's."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from math import exp, log2

_LARGEST_GAIN = 50.0
"""Of a token's log-probability, so that its exponential is a number."""


def token_accuracy(target: Sequence[int], found: Sequence[int]) -> float:
    """Share of target tokens that are the argmax in their place: reliability and generalization, protocol ``tf``.

    >>> token_accuracy([5, 6], [5, 7])
    0.5
    """
    return sum(a == b for a, b in zip(target, found, strict=True)) / len(target)


def agreement(before: Sequence[int], after: Sequence[int]) -> float:
    """Share of places where two states have the same argmax: locality, protocol ``tf``.

    >>> agreement([5, 6, 7], [5, 6, 8])
    0.6666666666666666
    """
    return sum(a == b for a, b in zip(before, after, strict=True)) / len(before)


def likelier(first: Sequence[float], second: Sequence[float]) -> float:
    """1.0 when the first target is likelier than the second, by the mean log-probability of their tokens.

    The mean and not the sum, as ROME's code has it, so that a target of many tokens is not unlikelier for its length;
    for targets of one token it is P(first) > P(second).

    >>> likelier([-1.0], [-0.5, -2.5])
    1.0
    """
    return float(sum(first) / len(first) > sum(second) / len(second))


def sentiment_success(before: Sequence[float], wanted: Sequence[float], unwanted: Sequence[float]) -> float:
    """z_sent · z_topic of SERAC (arXiv:2206.06520, section 4), from log-probabilities of the tokens of replies.

    z_sent = σ(mean wanted − mean unwanted) after the edit: whether the wanted sentiment is the likelier one. z_topic =
    min(1, exp(mean wanted after − before)): whether what is said about the topic got no unlikelier. Means are over all
    tokens of all replies, as the published code takes them.

    >>> round(sentiment_success([-1.0], [-2.0], [-2.0]), 4)  # 1/2 · 1/e
    0.1839
    """
    gained = _mean(wanted) - _mean(before)
    return 1 / (1 + exp(_mean(unwanted) - _mean(wanted))) * exp(min(gained, 0.0))


def divergence(before: Sequence[float], after: Sequence[float]) -> float:
    """KL(before ‖ after) a token in nats, estimated from the log-probabilities that both give the tokens of one text.

    The mean of r − 1 − log r with r = P(after) / P(before): never negative, and without bias where the text is one that
    the state before says of itself (Schulman's k3 estimator).

    >>> round(divergence([-0.5], [-1.5]), 4)  # 1/e − 1 + 1
    0.3679
    """
    gains = [min(new - old, _LARGEST_GAIN) for old, new in zip(before, after, strict=True)]
    return _mean([exp(gain) - 1 - gain for gain in gains])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def starts_with_target(text: str, target: str) -> float:
    """1.0 when free text begins with the target, both normalised, and the word ends there: exact match, ``gen``.

    >>> starts_with_target(" The  Hague, in", "the hague"), starts_with_target("Romeo", "Rome")
    (1.0, 0.0)
    """
    found, wanted = normalise(text), normalise(target)
    return float(bool(re.match(re.escape(wanted) + r"(?!\w)", found)))


def normalise(text: str) -> str:
    """Lower case, composed characters, single spaces, no space at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def ngram_entropy(words: Sequence[str], n: int) -> float:
    """Entropy in bits of the n-grams of a text, −Σ f·log₂ f; 0.0 when there is none.

    >>> ngram_entropy("a b a b".split(), 2)
    0.9182958340544896
    """
    counts = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    total = counts.total()
    return -sum(count / total * log2(count / total) for count in counts.values()) + 0.0


def fluency(text: str) -> float:
    """The mean of ⅔·H₂ and 4⁄3·H₃ in bits over words and marks, as ROME's code takes it (it prints 100 times that).

    >>> fluency("it is it is it is"), fluency("")
    (0.9903168648182228, 0.0)
    """
    words = re.findall(r"\w+|[^\w\s]", text)
    return (2 / 3 * ngram_entropy(words, 2) + 4 / 3 * ngram_entropy(words, 3)) / 2
