"""The metrics as pure functions of answers; the names and definitions are the field's (methods: reliability …)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


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
