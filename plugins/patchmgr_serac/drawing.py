"""What a batch holds: entries, one question in the scope of each, and three outside it.

Outside are one of the entry's locality probes, one about the same subject, and one of another request. The last is
hard in a share of the batches: that of a near neighbour of the entry's prompt by a sentence encoder, but not of one of
the nearest, which may be the same question in other words. Questions of other requests come in any of their wordings:
were only rephrasings in scope and only prompts outside, a wording would give away the answer. What a batch holds hangs
on the seed and its number alone.
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
"""Draws of another request's question until one lies outside."""

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
            far = self._worded(fact, self.hard(fact, rng), rng) if hard else None
            for drawn in (
                self._other(fact, rng) if far is None else far,
                self._one(fact.outside, rng),
                self._one(fact.same_subject, rng),
            ):
                if drawn is not None:
                    pairs.append(Pair(fact, drawn, None))
        return pairs

    def _other(self, fact: Fact, rng: random.Random) -> str | None:
        """A question of another request, any."""
        for _ in range(_TRIES):
            question = self._worded(fact, rng.choice(self.known.facts).prompt, rng)
            if question is not None:
                return question
        return None

    def _worded(self, fact: Fact, prompt: str | None, rng: random.Random) -> str | None:
        """A prompt in one of its wordings; None where that lies in the scope of the fact, or there is no prompt."""
        if prompt is None:
            return None
        question = rng.choice(self.known.wordings[prompt])
        return question if self.known.outside_of(fact, question) else None

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
