"""Invented facts in the demo base's wordings: as many edits as wanted, with questions inside and outside their scope.

Names are put together from syllables; the same seed invents the same facts. A subject has one fact in the memory, so
that its other relations, and the same relation of subjects that are not there, are questions outside its scope.

    python tests/benchmarks/synthetic.py --out DIR       # training.jsonl, validation.jsonl for a trained editor

There a subject that is trained on has a request for each of its relations, one that is validated with a single one, as
in a memory; and no name is one that ``--spared`` seeds invent. Facts of half of the subjects of the base's own world
are trained on with other answers, so that an editor meets what the base knows; the other half it never sees.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchmgr.demo.edits import edit_requests
from patchmgr.demo.world import EDIT_WORDING, World, load_world
from patchmgr.request import EditRequest, Probe, parse_request

KINDS = {
    "country": ("capital", "continent"),
    "city": ("capital_of",),
    "person": ("birthplace", "profession", "employer", "sport", "instrument", "tongue"),
    "company": ("headquarters", "product"),
}
SHARES = (("country", 2), ("city", 1), ("person", 5), ("company", 2))
"""Of ten subjects."""
N_REPHRASINGS = 2
N_REPHRASINGS_LEARNED = 6
N_FACTS = 1900
"""Of the world that can be edited, nearly all."""
MOST_NAMES = 20_500
"""Of a seed that edits and questions are invented with; names after these are free."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description="requests about invented subjects, for a trained editor")
    parser.add_argument("--out", type=Path, required=True, help="folder that is written")
    parser.add_argument("--subjects", type=int, default=3000, help="that are trained on")
    parser.add_argument("--validated", type=int, default=300, help="other subjects, to stop by")
    parser.add_argument("--spared", type=int, nargs="+", default=[0, 1], help="seeds whose names are for others")
    parser.add_argument("--seed", type=int, default=100)
    given = parser.parse_args()
    world = load_world()
    spared = {subject.name for seed in given.spared for subject in subjects(world, MOST_NAMES, seed)}
    invented = subjects(world, given.subjects + given.validated, given.seed, spared)
    rng = random.Random(f"requests {given.seed}")
    given.out.mkdir(parents=True, exist_ok=True)
    parts = {
        "training": [
            _request(world, subject, (relation, *others), rng, N_REPHRASINGS_LEARNED)
            for subject in invented[: given.subjects]
            for relation in subject.relations
            for others in [[other for other in subject.relations if other != relation]]
        ]
        + own_facts(world, given.seed),
        "validation": [
            _request(world, subject, rng.sample(subject.relations, len(subject.relations)), rng, N_REPHRASINGS)
            for subject in invented[given.subjects :]
        ],
    }
    for name, requests in parts.items():
        lines = [request.model_dump_json(exclude_unset=True) for request in requests]
        (given.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def own_facts(world: World, seed: int) -> list[EditRequest]:
    """Requests about half of the world's subjects."""
    names = sorted({fact.subject for fact in world.facts})
    half = set(random.Random(f"half {seed}").sample(names, len(names) // 2))
    found = [parse_request(value, where="the demo's world") for value in edit_requests(N_FACTS, seed)]
    return [
        request.model_copy(update={"locality": (), "portability": ()}) for request in found if request.subject in half
    ]


def subjects(world: World, count: int, seed: int, spared: Collection[str] = ()) -> list[Subject]:
    """So many subjects, none of which shares its name with another, with one of the world or a spared one."""
    rng = random.Random(f"subjects {seed}")
    taken = {fact.subject for fact in world.facts}.union(spared)
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
    return [
        _request(world, subject, rng.sample(subject.relations, len(subject.relations)), rng, N_REPHRASINGS)
        for subject in subjects(world, count, seed)
    ]


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


def _request(
    world: World, subject: Subject, relations: Sequence[str], rng: random.Random, n_rephrasings: int
) -> EditRequest:
    """An edit of the first relation, with a question about the second outside its scope."""
    relation, *others = relations
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
            for number in rng.sample(wordings, n_rephrasings)
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


if __name__ == "__main__":
    main()
