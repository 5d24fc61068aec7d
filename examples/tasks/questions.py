"""QA: a fact of the demo base's world gets another object, and is asked for in other wordings.

In scope are the fact's other wordings; those of validation and test are kept from the training edits. Out of scope are
the same question about other subjects (``neighborhood``) and other facts of the same subject (``same_subject``).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from patchmgr.demo.world import EDIT_WORDING, UNUSED_WORDING, Fact, World, load_world

from parts import COUNTS, Part, Request, other, part_of, probe

N_NEIGHBORS = 3
N_SAME_SUBJECT = 3
INVERSE = {"capital": "capital_of", "capital_of": "capital"}
N_WORDINGS = 4
"""Rephrasings of a training edit."""


@dataclass(frozen=True)
class Known:
    """The demo base's world, with the objects of every relation."""

    world: World
    objects: dict[str, tuple[str, ...]]

    @classmethod
    def load(cls) -> Known:
        """What the package ships."""
        world = load_world()
        return cls(world, {relation: world.objects(relation) for relation in world.relations})


@dataclass(frozen=True)
class Edit:
    """A fact that gets another object, beside facts of the same part that keep theirs."""

    fact: Fact
    object: str
    same_subject: tuple[Fact, ...]
    neighbors: tuple[Fact, ...]


def requests(part: Part, seed: int) -> list[Request]:
    """The requests of a part; the same seed gives the same ones."""
    known = Known.load()
    return [request(known.world, edit, part, seed) for edit in edits(known, part, seed)]


def edits(known: Known, part: Part, seed: int) -> list[Edit]:
    """Edits of a part, spread over the relations; what one keeps no other changes."""
    rng = random.Random(f"edits {part} {seed}")
    facts = [fact for fact in known.world.facts if part_of(fact.subject) == part and EDIT_WORDING in fact.answered]
    objects = _new_objects(known, part, _drawn(facts, COUNTS[part], rng), rng)
    entailed = {(INVERSE.get(fact.relation), new) for fact, new in objects}
    changed = {fact.id for fact, _ in objects}
    kept = [fact for fact in facts if fact.id not in changed and (fact.relation, fact.subject) not in entailed]
    return [_edit(fact, new, kept, random.Random(f"{seed} {fact.id}")) for fact, new in objects]


def _drawn(facts: list[Fact], count: int, rng: random.Random) -> Iterator[Fact]:
    """One fact of each relation in turn, and of no subject more than half."""
    of_relation: dict[str, list[Fact]] = {}
    left: dict[str, int] = {}
    for fact in rng.sample(facts, len(facts)):
        of_relation.setdefault(fact.relation, []).append(fact)
        left[fact.subject] = left.get(fact.subject, 0) + 1
    left = {subject: max(1, n // 2) for subject, n in left.items()}
    n_drawn = 0
    while n_drawn < count and any(of_relation.values()):
        for pool in of_relation.values():
            while pool:
                fact = pool.pop()
                if left[fact.subject]:
                    left[fact.subject] -= 1
                    n_drawn += 1
                    yield fact
                    break
            if n_drawn == count:
                return


def _new_objects(known: Known, part: Part, facts: Iterable[Fact], rng: random.Random) -> list[tuple[Fact, str]]:
    """Another object for each fact.

    Where no two subjects share an object, it comes from the same part and none comes twice, for there an edit says who
    the object belongs to as well; a fact for which nothing is left is passed over.
    """
    found, taken = [], set[str]()
    for fact in facts:
        if not known.world.relations[fact.relation].one_to_one:
            found.append((fact, other(known.objects[fact.relation], fact.object, rng=rng)))
            continue
        free = [each for each in known.objects[fact.relation] if each not in taken and part_of(each) == part]
        if fact.subject not in taken and set(free) - {fact.object}:
            found.append((fact, other(free, fact.object, rng=rng)))
            taken |= {fact.subject, found[-1][1]}
    return found


def _edit(fact: Fact, new: str, kept: list[Fact], rng: random.Random) -> Edit:
    same = [each for each in kept if each.subject == fact.subject]
    near = [each for each in kept if each.relation == fact.relation and new not in (each.object, each.subject)]
    return Edit(fact, new, _some(same, N_SAME_SUBJECT, rng), _some(near, N_NEIGHBORS, rng))


def _some(facts: list[Fact], count: int, rng: random.Random) -> tuple[Fact, ...]:
    return tuple(rng.sample(facts, min(count, len(facts))))


def request(world: World, edit: Edit, part: Part, seed: int) -> Request:
    """An edit as a request."""
    fact, rng = edit.fact, random.Random(f"wordings {seed} {edit.fact.id}")
    kept_back = (*fact.held_out, UNUSED_WORDING)
    seen = [wording for wording in range(1, UNUSED_WORDING) if wording not in fact.held_out]
    wordings = rng.sample(seen, N_WORDINGS) if part == "training" else kept_back
    kept = [(each, "neighborhood") for each in edit.neighbors] + [(each, "same_subject") for each in edit.same_subject]
    return {
        "id": f"{fact.relation}-{fact.id}",
        "prompt": world.relations[fact.relation].wordings[EDIT_WORDING],
        "subject": fact.subject,
        "target_new": edit.object,
        "target_true": fact.object,
        "relation": fact.relation,
        "rephrasings": [world.prompt(fact, wording) for wording in wordings],
        "locality": [probe(world.prompt(each, _asked(each, rng)), each.object, kind) for each, kind in kept],
    }


def _asked(fact: Fact, rng: random.Random) -> int:
    """A wording in which the base answers the fact."""
    return rng.choice(fact.answered)
