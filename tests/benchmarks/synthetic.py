"""Invented facts in the demo base's wordings: as many edits as wanted, with questions inside and outside their scope.

Names are put together from syllables; the same seed invents the same facts. A subject has one fact in the memory, so
that its other relations, and the same relation of subjects that are not there, are questions outside its scope.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from patchmgr.demo.world import EDIT_WORDING, World
from patchmgr.request import EditRequest, Probe

KINDS = {
    "country": ("capital", "continent"),
    "city": ("capital_of",),
    "person": ("birthplace", "profession", "employer", "sport", "instrument", "tongue"),
    "company": ("headquarters", "product"),
}
SHARES = (("country", 2), ("city", 1), ("person", 5), ("company", 2))
"""Of ten subjects."""
N_REPHRASINGS = 2
_STARTS = [
    "b", "br", "d", "dr", "f", "g", "gl", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v",
    "w", "z",
]  # fmt: skip
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
_ENDS = ["", "", "l", "n", "r", "s", "th", "lk", "nd", "rt"]


@dataclass(frozen=True)
class Subject:
    """Somebody or something that is not in the demo base's world."""

    name: str
    relations: tuple[str, ...]


def subjects(world: World, count: int, seed: int) -> list[Subject]:
    """So many subjects, none of which shares its name with another or with one of the world."""
    rng = random.Random(f"subjects {seed}")
    taken = {fact.subject for fact in world.facts}
    kinds = [kind for kind, share in SHARES for _ in range(share)]
    found: list[Subject] = []
    while len(found) < count:
        kind = kinds[len(found) % len(kinds)]
        name = f"{_name(rng)} {_name(rng)}" if kind == "person" else _name(rng)
        if name not in taken:
            taken.add(name)
            found.append(Subject(name, KINDS[kind]))
    return found


def invented_requests(world: World, count: int, seed: int) -> list[EditRequest]:
    """So many edits, each with other wordings of its question and one question outside its scope."""
    rng = random.Random(f"edits {seed}")
    return [_request(world, subject, rng) for subject in subjects(world, count, seed)]


def outside(world: World, requests: list[EditRequest], seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Kinds and prompts of questions that none of some edits is about, ``count`` of each kind."""
    rng = random.Random(f"outside {seed}")
    some = rng.sample(requests, min(count, len(requests)))
    strangers = subjects(world, len(requests) + count, seed)[len(requests) :]
    for request in some:
        if request.locality:
            yield "the subject's other facts", request.locality[0].prompt
    for stranger in strangers:
        yield "unknown subjects", _prompt(world, rng.choice(stranger.relations), stranger.name, rng)
    for fact in rng.sample(list(world.facts), count):
        yield "facts of the base", world.prompt(fact, rng.randrange(len(world.relations[fact.relation].wordings)))


def _request(world: World, subject: Subject, rng: random.Random) -> EditRequest:
    relation, *others = rng.sample(subject.relations, len(subject.relations))
    wordings = [number for number in range(len(world.relations[relation].wordings)) if number != EDIT_WORDING]
    locality = [
        Probe(prompt=_prompt(world, other, subject.name, rng), target=rng.choice(world.objects(other)), kind="other")
        for other in others[:1]
    ]
    return EditRequest(
        id=f"{relation}-{subject.name.replace(' ', '-')}",
        prompt=world.relations[relation].wordings[EDIT_WORDING],
        subject=subject.name,
        target_new=rng.choice(world.objects(relation)),
        relation=relation,
        rephrasings=tuple(
            world.relations[relation].wordings[number].format(subject.name)
            for number in rng.sample(wordings, N_REPHRASINGS)
        ),
        locality=tuple(locality),
    )


def _prompt(world: World, relation: str, name: str, rng: random.Random) -> str:
    return rng.choice(world.relations[relation].wordings).format(name)


def _name(rng: random.Random) -> str:
    parts = [
        rng.choice(_STARTS) + rng.choice(_VOWELS) + (rng.choice(_ENDS) if last else "")
        for last in (False,) * rng.choice((1, 1, 2)) + (True,)
    ]
    return "".join(parts).capitalize()
