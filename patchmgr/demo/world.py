"""The facts that the demo base was taught, and which of them it answers.

Read from the files beside the weights: `facts.jsonl`, `relations.json` and `two_hop.jsonl`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

EDIT_WORDING = 0
"""The wording that edits use: every fact was trained in it."""

UNUSED_WORDING = 8
"""The wording that no fact was trained in."""


@dataclass(frozen=True)
class Relation:
    """Nine prompts with "{}" for the subject, each completed by the object."""

    name: str
    wordings: tuple[str, ...]
    one_to_one: bool


@dataclass(frozen=True)
class Fact:
    """`subject` stands in `relation` to `object`.

    Wordings are counted from 0. Those in `held_out` were never trained for this fact; in those
    in `answered` the model gives the object greedily, every token of it.
    """

    id: str
    subject: str
    relation: str
    object: str
    held_out: tuple[int, ...]
    answered: tuple[int, ...]


@dataclass(frozen=True)
class TwoHop:
    """A question that two facts (`via`) answer one after the other."""

    id: str
    question: str
    subject: str
    prompts: tuple[str, ...]
    answer: str
    via: tuple[str, str]
    trained: bool
    answered: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """All that the demo base was taught."""

    facts: tuple[Fact, ...]
    relations: dict[str, Relation]
    two_hops: tuple[TwoHop, ...]

    def prompt(self, fact: Fact, wording: int = EDIT_WORDING) -> str:
        """A fact's prompt, written out with its subject."""
        return self.relations[fact.relation].wordings[wording].format(fact.subject)

    def objects(self, relation: str) -> tuple[str, ...]:
        """The distinct objects of a relation, sorted."""
        return tuple(sorted({fact.object for fact in self.facts if fact.relation == relation}))


def atlas_folder() -> Path:
    """The folder with the demo base: a checkpoint that transformers loads."""
    return Path(str(files("patchmgr.demo") / "atlas"))


def load_world() -> World:
    """The world of the demo base that this package ships."""
    return read_world(files("patchmgr.demo") / "atlas")


def read_world(folder: Traversable) -> World:
    """The world in a folder written by `examples/atlas/build.py`."""
    relations = json.loads((folder / "relations.json").read_text(encoding="utf-8"))
    return World(
        facts=tuple(_fact(record) for record in _records(folder / "facts.jsonl")),
        relations={
            name: Relation(name, tuple(entry["wordings"]), entry["one-to-one"]) for name, entry in relations.items()
        },
        two_hops=tuple(_two_hop(record) for record in _records(folder / "two_hop.jsonl")),
    )


def _records(file: Traversable) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _fact(record: dict[str, Any]) -> Fact:
    return Fact(
        id=record["id"],
        subject=record["subject"],
        relation=record["relation"],
        object=record["object"],
        held_out=tuple(record["held_out"]),
        answered=tuple(record["answered"]),
    )


def _two_hop(record: dict[str, Any]) -> TwoHop:
    first, second = record["via"]
    return TwoHop(
        id=record["id"],
        question=record["question"],
        subject=record["subject"],
        prompts=tuple(record["prompts"]),
        answer=record["answer"],
        via=(first, second),
        trained=record["trained"],
        answered=tuple(record["answered"]),
    )
