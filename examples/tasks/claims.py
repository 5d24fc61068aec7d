"""FC: evidence is the edit, claims are in scope with the verdict True or False, in the form of VitaminC.

The world has invented places, each with a keeper, goods, a colour and a number of daily visitors. Evidence reports
another value than the one that the base was taught, so that the verdicts on claims about it turn round. A claim about
which the evidence says nothing (another thing about the same place, the same thing about another place) is out of
scope: its verdict must stay.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from parts import COUNTS, Part, Request, invented_names, other, part_of, probe

KINDS = ("bridge", "station", "school", "market", "house", "harbour", "garden", "tower")
N_PLACES = 160
N_CHANGED = {"training": 2, "validation": 1, "test": 1}
"""Attributes of a place that evidence is about."""


@dataclass(frozen=True)
class Attribute:
    """``{}`` stands for the place; a claim ends with the value, or has it at ``{v}``."""

    evidence: str
    claims: tuple[str, ...]
    values: tuple[str, ...]


HUNDREDS = tuple(str(number) for number in range(100, 1000, 100))
ATTRIBUTES: dict[str, Attribute] = {
    "keeper": Attribute(
        "The keeper of the {} is a",
        ("the keeper of the {} is a {v}", "the {} is kept by a {v}", "a {v} looks after the {}"),
        ("baker", "teacher", "lawyer", "doctor", "painter", "pilot", "nurse", "judge", "miner", "tailor"),
    ),
    "goods": Attribute(
        "The goods sold at the {} are",
        ("the goods sold at the {} are {v}", "people buy {v} at the {}", "the {} is a place to buy {v}"),
        ("bicycles", "shoes", "paper", "chocolate", "carpets", "glass", "toys", "watches", "cheese", "soap"),
    ),
    "colour": Attribute(
        "The colour of the {} is",
        ("the colour of the {} is {v}", "the {} is painted {v}", "the {} has a coat of {v} paint"),
        ("red", "green", "blue", "white", "black", "brown", "grey", "pink"),
    ),
    "visitors": Attribute(
        "The number of people who visit the {} each day is",
        ("more than {v} people visit the {} each day", "fewer than {v} people visit the {} each day"),
        HUNDREDS,
    ),
}


@dataclass(frozen=True)
class Place:
    """What the base was taught about a place: a value for every attribute."""

    name: str
    values: dict[str, str]


def places(seed: int) -> list[Place]:
    """The world; the same seed gives the same one."""
    rng = random.Random(f"places {seed}")
    names = [f"{name} {rng.choice(KINDS)}" for name in invented_names(N_PLACES, rng)]
    return [Place(name, {key: rng.choice(each.values) for key, each in ATTRIBUTES.items()}) for name in names]


def evidence(place: str, attribute: str) -> str:
    """The sentence that the value ends."""
    return ATTRIBUTES[attribute].evidence.format(place)


def claim(place: str, attribute: str, value: str, is_true: bool, rng: random.Random) -> tuple[str, str]:
    """A claim about the attribute of a place whose value is this, and its verdict."""
    known = ATTRIBUTES[attribute]
    if attribute == "visitors":
        more, fewer = known.claims
        said = other(HUNDREDS, value, rng=rng)
        is_more = int(value) > int(said)
        text = (more if is_more == is_true else fewer).format(place, v=said)
    else:
        said = value if is_true else other(known.values, value, rng=rng)
        text = rng.choice(known.claims).format(place, v=said)
    return f"Claim: {text}. Verdict:", str(is_true)


def requests(part: Part, seed: int) -> list[Request]:
    """The requests of a part; the same seed gives the same ones."""
    rng = random.Random(f"evidence {part} {seed}")
    world = [place for place in places(7) if part_of(place.name) == part]
    changed = [(place, rng.sample(sorted(ATTRIBUTES), N_CHANGED[part])) for place in world]
    kept = {place.name: [key for key in ATTRIBUTES if key not in keys] for place, keys in changed}
    found = [_request(place, key, world, kept, rng) for place, keys in changed for key in keys]
    return found[: COUNTS[part]]


def _request(
    place: Place, attribute: str, world: list[Place], kept: dict[str, list[str]], rng: random.Random
) -> Request:
    known, old = ATTRIBUTES[attribute], place.values[attribute]
    new = other(known.values, old, rng=rng)
    asked = dict(claim(place.name, attribute, new, is_true, rng) for is_true in (True, False) * 3)
    if attribute != "visitors":
        turned = rng.choice(known.claims).format(place.name, v=old)
        asked[f"Claim: {turned}. Verdict:"] = "False"
    locality = [
        probe(*claim(place.name, key, place.values[key], rng.random() < 0.5, rng), "same_subject")
        for key in kept[place.name]
    ]
    others = [each for each in world if attribute in kept[each.name] and each.name != place.name]
    for each in rng.sample(others, min(3, len(others))):
        value = each.values[attribute]
        locality.append(probe(*claim(each.name, attribute, value, rng.random() < 0.5, rng), "neighborhood"))
    return {
        "id": f"{attribute}-{place.name.replace(' ', '-')}",
        "prompt": known.evidence,
        "subject": place.name,
        "target_new": new,
        "target_true": old,
        "relation": attribute,
        "locality": locality,
        "portability": [probe(text, verdict, "claim") for text, verdict in asked.items()],
    }
