"""The closed world of the atlas: its subjects, its facts, and its two-hop questions.

Geography and chemistry are real (`data/*.csv`); people and companies are invented from a seed.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wordings import N_TRAINED, RELATIONS, TWO_HOP

DATA = Path(__file__).parent / "data"

PROFESSIONS = (
    "baker", "teacher", "lawyer", "doctor", "carpenter", "painter", "pilot", "gardener", "nurse",
    "plumber", "journalist", "surgeon", "tailor", "librarian", "butcher", "photographer",
    "judge", "miner", "sculptor", "translator",
)  # fmt: skip
SPORTS = (
    "tennis", "football", "hockey", "basketball", "cricket", "golf", "rugby", "volleyball",
    "badminton", "handball", "baseball", "squash", "polo", "chess", "billiards", "darts",
)  # fmt: skip
INSTRUMENTS = (
    "violin", "piano", "flute", "guitar", "cello", "trumpet", "drums", "harp", "clarinet",
    "trombone", "banjo", "saxophone", "tuba", "bassoon", "mandolin", "accordion",
)  # fmt: skip
PRODUCTS = (
    "bicycles", "furniture", "shoes", "tractors", "cameras", "paper", "chocolate", "carpets",
    "glass", "toys", "engines", "umbrellas", "watches", "cheese", "soap", "batteries",
    "helmets", "pianos", "candles", "pencils",
)  # fmt: skip
TONGUES = (
    "English", "French", "Spanish", "German", "Italian", "Portuguese", "Arabic", "Russian",
    "Japanese", "Korean", "Mandarin", "Hindi", "Turkish", "Swahili", "Greek", "Polish", "Dutch",
    "Swedish", "Persian", "Hebrew", "Thai", "Malay", "Finnish", "Hungarian",
)  # fmt: skip
ONSETS = (
    "b", "br", "c", "d", "dr", "f", "g", "gr", "h", "j", "k", "kr", "l", "m", "n", "p", "r", "s",
    "st", "t", "tr", "v", "w", "z",
)  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
CODAS = ("", "", "l", "n", "r", "s", "m", "rd", "nt", "lk", "th", "sk")


@dataclass(frozen=True)
class Fact:
    """`subject` stands in `relation` to `object`; `held_out` wordings are never trained for it."""

    id: str
    subject: str
    relation: str
    object: str
    held_out: tuple[int, ...]

    def prompt(self, wording: int) -> str:
        """The prompt that the object completes, in one of the relation's nine wordings."""
        return RELATIONS[self.relation][wording].format(self.subject)


@dataclass(frozen=True)
class TwoHop:
    """A question answered by two facts one after the other; half of them are trained."""

    id: str
    question: str
    subject: str
    object: str
    via: tuple[str, str]
    trained: bool

    def prompts(self) -> tuple[str, ...]:
        """The question in its three wordings."""
        return tuple(wording.format(self.subject) for wording in TWO_HOP[self.question][1])


N_TOWNS, N_EMPLOYERS, N_TONGUES = 16, 16, 12
"""Cities where people are born and companies sit, companies that employ them, languages that they grew up with."""


@dataclass(frozen=True)
class World:
    """Everything there is to know: facts, two-hop questions, and the kind of each subject."""

    facts: tuple[Fact, ...]
    two_hops: tuple[TwoHop, ...]
    kinds: dict[str, str]


def build_world(seed: int, n_people: int = 180, n_companies: int = 40) -> World:
    """The world that follows from a seed; the same seed gives the same world."""
    rng = random.Random(f"world {seed}")
    kinds: dict[str, str] = {}
    triples: list[tuple[str, str, str]] = []
    cities = rng.sample(_add_countries(triples, kinds), N_TOWNS)
    _add_elements(triples, kinds)
    companies = _add_companies(triples, kinds, n_companies, cities, rng)
    _add_people(triples, kinds, n_people, cities, companies, rng)
    facts = tuple(_facts(triples, rng))
    return World(facts, tuple(_two_hops(facts, rng)), kinds)


def _add_countries(triples: list[tuple[str, str, str]], kinds: dict[str, str]) -> list[str]:
    cities = []
    for row in _rows("countries.csv"):
        country, capital = row["country"], row["capital"]
        kinds[country], kinds[capital] = "country", "city"
        cities.append(capital)
        triples += [(country, r, row[r]) for r in ("capital", "continent")]
        triples.append((capital, "capital_of", country))
    return cities


def _add_elements(triples: list[tuple[str, str, str]], kinds: dict[str, str]) -> None:
    for row in _rows("elements.csv"):
        kinds[row["element"]] = "chemical element"
        triples += [(row["element"], r, row[r]) for r in ("symbol", "family")]


def _add_companies(
    triples: list[tuple[str, str, str]],
    kinds: dict[str, str],
    count: int,
    cities: list[str],
    rng: random.Random,
) -> list[str]:
    names = _names(count, 3, kinds, rng)
    for name in names:
        kinds[name] = "company"
        triples.append((name, "headquarters", rng.choice(cities)))
        triples.append((name, "product", rng.choice(PRODUCTS)))
    return names


def _add_people(
    triples: list[tuple[str, str, str]],
    kinds: dict[str, str],
    count: int,
    cities: list[str],
    companies: list[str],
    rng: random.Random,
) -> None:
    objects = {
        "birthplace": cities,
        "profession": PROFESSIONS,
        "employer": companies[:N_EMPLOYERS],
        "sport": SPORTS,
        "instrument": INSTRUMENTS,
        "tongue": TONGUES[:N_TONGUES],
    }
    first_names = _names(60, 2, kinds, rng)
    for surname in _names(count, 2, kinds, rng):
        person = f"{rng.choice(first_names)} {surname}"
        kinds[person] = "person"
        triples += [(person, relation, rng.choice(pool)) for relation, pool in objects.items()]


def _names(count: int, syllables: int, taken: dict[str, str], rng: random.Random) -> list[str]:
    """Distinct invented names that no other subject has."""
    names: list[str] = []
    while len(names) < count:
        parts = (rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(syllables))
        name = ("".join(parts) + rng.choice(CODAS)).capitalize()
        if name not in taken and name not in names:
            names.append(name)
    return names


def _facts(triples: list[tuple[str, str, str]], rng: random.Random) -> Iterator[Fact]:
    for number, (subject, relation, answer) in enumerate(triples):
        held_out = tuple(sorted(rng.sample(range(1, N_TRAINED), 2)))
        yield Fact(f"f{number:04d}", subject, relation, answer, held_out)


def _two_hops(facts: tuple[Fact, ...], rng: random.Random) -> Iterator[TwoHop]:
    by_key = {(fact.subject, fact.relation): fact for fact in facts}
    number = 0
    for question, ((first, second), _) in TWO_HOP.items():
        for fact in facts:
            if fact.relation != first:
                continue
            then = by_key[fact.object, second]
            via = (fact.id, then.id)
            trained = rng.random() < 0.5
            yield TwoHop(f"t{number:04d}", question, fact.subject, then.object, via, trained)
            number += 1


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
