"""QA-hard: QA, with questions that the edit entails and true/false questions, and hard negatives of the same kinds.

In scope, beside the wordings: ``true_false`` ("Is it true that the capital of France is Rome?" Yes), ``choice``
("Either Rome or Paris: the capital of France is" Rome) and ``reversed`` ("The country whose capital is Rome is"
France), where no two subjects share an object. Out of scope: true/false questions and choices about other facts of the
subject and about other subjects (``hard_negative``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from patchmgr.demo.world import UNUSED_WORDING, Fact, World

from parts import Part, Request, other, probe
from questions import Edit, Known, edits, request

REVERSED = {
    "capital": "The country whose capital is {} is",
    "capital_of": "The capital of {} is",
    "symbol": "The element with the symbol {} is",
}
"""Asks for the subject by its object."""


def requests(part: Part, seed: int) -> list[Request]:
    """The requests of a part; the same seed gives the same ones."""
    known, found = Known.load(), []
    for edit in edits(known, part, seed):
        plain, rng = request(known.world, edit, part, seed), random.Random(f"hard {seed} {edit.fact.id}")
        locality = [*plain["locality"], *_hard_negatives(known, edit, rng)]
        found.append({**plain, "locality": locality, "portability": list(_entailed(known, edit, rng))})
    return found


def true_or_false(world: World, fact: Fact, object: str, rng: random.Random) -> str:
    """Asks whether the object is the one, in any of the wordings that are trained."""
    return f"Is it true that {_clause(world, fact, rng)} {object}?"


def choice(world: World, fact: Fact, objects: tuple[str, str], rng: random.Random) -> str:
    """Asks which of two objects it is."""
    first, second = rng.sample(objects, 2)
    return f"Either {first} or {second}: {_clause(world, fact, rng)}"


def _clause(world: World, fact: Fact, rng: random.Random) -> str:
    text = world.prompt(fact, rng.randrange(UNUSED_WORDING))
    return text[0].lower() + text[1:]


def _entailed(known: Known, edit: Edit, rng: random.Random) -> Iterator[dict[str, str]]:
    world, fact, new, old = known.world, edit.fact, edit.object, edit.fact.object
    third = other(known.objects[fact.relation], new, old, rng=rng)
    asked = [(true_or_false(world, fact, said, rng), said) for said in (new, old, new, third)]
    for prompt, said in dict(asked).items():
        yield probe(prompt, "Yes" if said == new else "No", "true_false")
    for wrong in (old, third):
        yield probe(choice(world, fact, (new, wrong), rng), new, "choice")
    if fact.relation in REVERSED:
        yield probe(REVERSED[fact.relation].format(new), fact.subject, "reversed")


def _hard_negatives(known: Known, edit: Edit, rng: random.Random) -> Iterator[dict[str, str]]:
    world = known.world
    for fact in (*edit.same_subject[:2], *edit.neighbors[:2]):
        wrong = other(known.objects[fact.relation], fact.object, rng=rng)
        if fact.relation == edit.fact.relation and rng.random() < 0.5:
            wrong = edit.object
        said, answer = rng.choice(((fact.object, "Yes"), (wrong, "No")))
        yield probe(true_or_false(world, fact, said, rng), answer, "hard_negative")
        yield probe(choice(world, fact, (fact.object, wrong), rng), fact.object, "hard_negative")
