"""What the four tasks share: which part a subject belongs to, how probes are put down, and invented names.

A subject belongs to one part by its name alone, in every task. What is trained, base or editor, learns how to take an
edit from subjects of the part ``training``; edits of the other parts are about subjects that it has never seen edited.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any, Literal

Part = Literal["training", "validation", "test"]
Request = dict[str, Any]
"""As docs/format.md has it: prompt, subject, target_new, rephrasings, locality, portability."""

PARTS: tuple[Part, ...] = ("training", "validation", "test")
COUNTS: dict[Part, int] = {"training": 600, "validation": 60, "test": 60}
"""Requests at most, for each part."""

ONSETS = ("b", "bl", "ch", "cl", "d", "fl", "fr", "g", "gl", "h", "l", "m", "n", "pl", "r", "sh", "sn", "t", "tw", "w")
VOWELS = ("a", "e", "i", "o", "u", "ee", "oa")
CODAS = ("ck", "ll", "m", "n", "p", "rn", "sh", "t", "x")


def part_of(subject: str) -> Part:
    """Seven subjects in ten are for training, one for validation, two for the test."""
    share = random.Random(f"part of {subject}").random()
    return "training" if share < 0.7 else "validation" if share < 0.8 else "test"


def probe(prompt: str, target: str, kind: str) -> dict[str, str]:
    """A question with the answer that belongs to it."""
    return {"prompt": prompt, "target": target, "kind": kind}


def invented_names(count: int, rng: random.Random) -> list[str]:
    """Distinct names of one or two syllables, such as Bloack or Shimotell."""
    names: dict[str, None] = {}
    while len(names) < count:
        first = rng.choice(ONSETS) + rng.choice(VOWELS)
        second = rng.choice(ONSETS) + rng.choice(VOWELS) if rng.random() < 0.7 else ""
        names[(first + second + rng.choice(CODAS)).capitalize()] = None
    return list(names)


def other(values: Collection[str], *taken: str, rng: random.Random) -> str:
    """One of some values, but none of those that are taken."""
    return rng.choice(sorted(set(values) - set(taken)))
