"""What a batch holds: entries, one question in the scope of each, and three outside it.

Outside are one of the entry's locality probes, one about the same subject, and one of another request. The last is
hard in a share of the batches: a near neighbour of the entry's prompt by a sentence encoder, but not one of the
nearest, which may be the same question in other words. What a batch holds hangs on seed and number of the batch alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from patchmgr_memory.search import nearest
from patchmgr_serac.equations import hard_negative_weights
from patchmgr_serac.facts import Fact, Facts

_TRIES = 20
"""Draws of another request's prompt until one lies outside."""

Draw = Callable[[Fact, random.Random], str | None]


@dataclass(frozen=True)
class Pair:
    """An entry and a question."""

    fact: Fact
    question: str
    answer: str | None
    """What follows from the entry; None: the question lies outside its scope."""


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Draws near neighbours of a prompt."""

    prompts: tuple[str, ...]
    """All different ones."""
    vectors: Float[Tensor, "prompts width"]
    """Of length 1."""
    neighbours: int
    skip: int
    temperature: float

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of each prompt."""
        return {prompt: place for place, prompt in enumerate(self.prompts)}

    def __call__(self, fact: Fact, rng: random.Random) -> str | None:
        """A neighbour of a fact's prompt; None where there are too few."""
        place = self.places[fact.prompt]
        found = nearest(self.vectors[place : place + 1], self.vectors, self.neighbours)
        if found.places.shape[1] <= self.skip:
            return None
        weights = hard_negative_weights(found.cosines[0], skip=self.skip, temperature=self.temperature)
        drawn: int = rng.choices(found.places[0].tolist(), weights.tolist())[0]
        return self.prompts[drawn]


@dataclass(frozen=True, eq=False)
class Drawing:
    """How batches are drawn."""

    known: Facts
    size: int
    seed: int
    hard: Draw
    hard_share: float
    entailed_share: float
    """Of the questions in scope, where a fact has entailed ones."""

    def batch(self, number: int) -> list[Pair]:
        """The batch of that number, counted from 0."""
        rng = random.Random(f"{self.seed} {number}")
        facts = rng.sample(self.known.facts, min(self.size, len(self.known.facts)))
        hard = rng.random() < self.hard_share
        pairs = []
        for fact in facts:
            entailed = bool(fact.entailed) and rng.random() < self.entailed_share
            question, answer = rng.choice(fact.entailed if entailed else fact.reworded)
            pairs.append(Pair(fact, question, answer))
            far = self.hard(fact, rng) if hard else None
            for drawn in (
                far if far is not None and self.known.outside_of(fact, far) else self._other(fact, rng),
                self._one(fact.outside, rng),
                self._one(fact.same_subject, rng),
            ):
                if drawn is not None:
                    pairs.append(Pair(fact, drawn, None))
        return pairs

    def _other(self, fact: Fact, rng: random.Random) -> str | None:
        """Another request's prompt, any."""
        for _ in range(_TRIES):
            question = rng.choice(self.known.facts).prompt
            if self.known.outside_of(fact, question):
                return question
        return None

    @staticmethod
    def _one(questions: Sequence[str], rng: random.Random) -> str | None:
        return rng.choice(questions) if questions else None


def hard_negatives(
    known: Facts, encode: Callable[[Sequence[str]], Tensor], *, neighbours: int, skip: int, temperature: float
) -> HardNegatives:
    """Hard negatives among the prompts of some facts.

    Args:
        known: the facts.
        encode: the sentence encoder: texts to vectors of length 1.
        neighbours: the nearest prompts that are looked at, the prompt itself among them.
        skip: the nearest of them, which are never drawn.
        temperature: of the draw.
    """
    prompts = tuple(known.scope)
    return HardNegatives(prompts, encode(prompts), neighbours, skip, temperature)
