"""Edit requests drawn from the demo base's world: another object for a fact that it answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from patchmgr.demo.world import EDIT_WORDING, Fact, World, load_world

N_NEIGHBORS = 5
"""Neighbourhood probes of a request."""


def edit_requests(
    count: int,
    seed: int,
    relations: Iterable[str] | None = None,
    world: World | None = None,
) -> tuple[dict[str, Any], ...]:
    """`count` requests, spread evenly over the relations; the same seed draws the same ones.

    Only facts whose edit prompt the base answers are drawn, no fact twice. Every probe is one
    that the base answers before the edit.
    """
    world = world or load_world()
    rng = random.Random(f"edits {seed}")
    chosen = _draw(world, tuple(relations or world.relations), count, rng)
    requests = []
    for fact in chosen:
        own = random.Random(f"{seed} {fact.id}")
        others = [f.object for f in world.facts if f.relation == fact.relation and f.object != fact.object]
        requests.append(_request(world, fact, own.choice(others), own))
    return tuple(requests)


def edit_request(subject: str, relation: str, target_new: str) -> dict[str, Any]:
    """The request that gives one fact another object, with probes as in :func:`edit_requests`.

    Raises:
        KeyError: the world has no such fact.
    """
    world = load_world()
    for fact in world.facts:
        if (fact.subject, fact.relation) == (subject, relation):
            return _request(world, fact, target_new, random.Random(fact.id))
    raise KeyError(f"{relation} of {subject}")


def _draw(world: World, relations: tuple[str, ...], count: int, rng: random.Random) -> list[Fact]:
    """One fact of each relation in turn, until there are enough."""
    pools = []
    for relation in relations:
        pool = [f for f in world.facts if f.relation == relation and EDIT_WORDING in f.answered]
        pools.append(rng.sample(pool, len(pool)))
    available = sum(len(pool) for pool in pools)
    if count > available:
        raise ValueError(f"{count} requests asked for, {available} facts can be edited")
    chosen: list[Fact] = []
    while len(chosen) < count:
        chosen.extend(pool.pop() for pool in pools if pool)
    return chosen[:count]


def _request(world: World, fact: Fact, target_new: str, rng: random.Random) -> dict[str, Any]:
    return {
        "id": f"{fact.relation}-{fact.id}",
        "prompt": world.relations[fact.relation].wordings[EDIT_WORDING],
        "subject": fact.subject,
        "target_new": target_new,
        "target_true": fact.object,
        "relation": fact.relation,
        "rephrasings": [world.prompt(fact, wording) for wording in fact.held_out if wording in fact.answered],
        "locality": [
            *_neighborhood(world, fact, target_new, rng),
            *_same_subject(world, fact),
        ],
        "portability": list(_two_hops(world, fact, target_new)),
    }


def _neighborhood(world: World, fact: Fact, target_new: str, rng: random.Random) -> Iterator[dict[str, str]]:
    """Other subjects of the relation, none of which has the new target anyway."""
    others = [
        other
        for other in world.facts
        if other.relation == fact.relation
        and other.subject != fact.subject
        and other.object != target_new
        and EDIT_WORDING in other.answered
    ]
    for other in rng.sample(others, min(N_NEIGHBORS, len(others))):
        yield _probe(world.prompt(other), other.object, "neighborhood")


def _same_subject(world: World, fact: Fact) -> Iterator[dict[str, str]]:
    """The other facts of the subject."""
    for other in world.facts:
        is_other = other.subject == fact.subject and other.id != fact.id
        if is_other and EDIT_WORDING in other.answered:
            yield _probe(world.prompt(other), other.object, "same_subject")


def _two_hops(world: World, fact: Fact, target_new: str) -> Iterator[dict[str, str]]:
    """Questions that go through the fact, with the answer that the edit entails."""
    facts = {other.id: other for other in world.facts}
    objects = {(other.subject, other.relation): other.object for other in world.facts}
    for question in world.two_hops:
        if fact.id not in question.via or not question.answered:
            continue
        first, second = question.via
        answer = target_new
        if fact.id == first:
            answer = objects[target_new, facts[second].relation]
        if answer != question.answer:
            yield _probe(question.prompts[question.answered[0]], answer, "two_hop")


def _probe(prompt: str, target: str, kind: str) -> dict[str, str]:
    return {"prompt": prompt, "target": target, "kind": kind}
