"""The world behind real CounterFact records: their facts, their neighbours' facts, and the wordings of both.

A fact is a subject, a relation and an object. A record states one itself, and each neighbourhood prompt states one
more: its subject has the true target as well. Wordings are CounterFact's own prompts and ParaRel's patterns that end
in the object.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUBJECT = "{}"
RECORDS = Path("counterfact") / "original_sample.json"
PATTERNS = Path("pararel") / "patterns"
N_RECORDS = 400
"""Drawn from the file: about as many facts as a small model learns in half an hour."""
HELD_OUT_SHARE = 0.2

Record = dict[str, Any]
Key = tuple[str, str]
"""Relation and subject."""


@dataclass(frozen=True)
class Fact:
    """A fact with the wordings that training may use and those that it may not."""

    relation: str
    subject: str
    object: str
    seen: tuple[str, ...]
    held_out: tuple[str, ...]

    def prompt(self, wording: str) -> str:
        """The wording with the subject in its place."""
        return wording.replace(SUBJECT, self.subject)


@dataclass(frozen=True)
class Asked:
    """A prompt of a record, and whether its own fact is asked or a neighbour's."""

    prompt: str
    answer: str
    kind: str


@dataclass(frozen=True)
class World:
    """The facts, and the records whose every prompt can be answered from them."""

    facts: tuple[Fact, ...]
    case_ids: frozenset[str]
    n_records: int
    """In the file."""
    asked: tuple[Asked, ...]

    @property
    def n_wordings(self) -> int:
        """Different wordings of all relations."""
        return len({(fact.relation, wording) for fact in self.facts for wording in (*fact.seen, *fact.held_out)})


def read_world(data: Path, seed: int) -> World:
    """The world of a data folder.

    A record is left out when one of its neighbourhood prompts is in no known wording, or when one of its facts
    contradicts a fact of a record before it (a city has many twins).
    """
    records: list[Record] = json.loads((data / RECORDS).read_text(encoding="utf-8"))
    wordings = read_wordings(records, data / PATTERNS)
    objects: dict[Key, str] = {}
    asked_of: dict[Key, set[str]] = defaultdict(set)
    kept: list[Record] = []
    for record in random.Random(f"records {seed}").sample(records, len(records)):
        found = facts_of(record, wordings)
        if found is None or any(objects.get(key, answer) != answer for key, _, answer in found):
            continue
        if len(kept) == N_RECORDS:
            break
        kept.append(record)
        objects.update((key, answer) for key, _, answer in found)
        own, wording, _ = found[0]
        asked_of[own].add(wording)
    facts = tuple(_fact(key, objects[key], wordings[key[0]], asked_of[key], seed) for key in objects)
    case_ids = frozenset(str(record["case_id"]) for record in kept)
    return World(facts, case_ids, len(records), tuple(asked for record in kept for asked in prompts_of(record)))


def read_wordings(records: Iterable[Record], patterns: Path) -> dict[str, list[str]]:
    """Of each relation that a record is about, in a fixed order."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        found[record["requested_rewrite"]["relation_id"]].add(record["requested_rewrite"]["prompt"])
    for relation, wordings in found.items():
        path = patterns / f"{relation}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in filter(None, lines):
            pattern = json.loads(line)["pattern"].strip(" .")
            if pattern.endswith("[Y]") and pattern.count("[X]") == 1:
                wordings.add(pattern.removesuffix("[Y]").strip().replace("[X]", SUBJECT))
    return {relation: sorted(wordings) for relation, wordings in found.items()}


def facts_of(record: Record, wordings: dict[str, list[str]]) -> list[tuple[Key, str, str]] | None:
    """Key, wording and object of the record's own fact, then of its neighbours'; None when a prompt is not known."""
    rewrite = record["requested_rewrite"]
    relation, answer = rewrite["relation_id"], rewrite["target_true"]["str"]
    found = [((relation, rewrite["subject"]), rewrite["prompt"], answer)]
    for prompt in record["neighborhood_prompts"]:
        read = subject_of(prompt, wordings[relation])
        if read is None:
            return None
        found.append(((relation, read[0]), read[1], answer))
    return found


def subject_of(prompt: str, wordings: Iterable[str]) -> tuple[str, str] | None:
    """Subject and wording of a prompt, by the wording that leaves the shortest subject.

    >>> subject_of("The capital of France is", ["{} is", "The capital of {} is"])
    ('France', 'The capital of {} is')
    """
    fits = []
    for wording in wordings:
        before, after = wording.split(SUBJECT)
        subject = prompt.removeprefix(before).removesuffix(after)
        if subject and prompt == before + subject + after:
            fits.append((subject, wording))
    return min(fits, key=lambda fit: len(fit[0]), default=None)


def prompts_of(record: Record) -> Iterable[Asked]:
    """Every prompt of a record that CounterFact's metrics ask."""
    rewrite = record["requested_rewrite"]
    answer = rewrite["target_true"]["str"]
    yield Asked(rewrite["prompt"].replace(SUBJECT, rewrite["subject"]), answer, "edit prompts")
    for prompt in record["paraphrase_prompts"]:
        yield Asked(prompt, answer, "paraphrase prompts")
    for prompt in record["neighborhood_prompts"]:
        yield Asked(prompt, answer, "neighborhood prompts")


def _fact(key: Key, answer: str, wordings: list[str], asked: set[str], seed: int) -> Fact:
    """A fifth of the wordings are held out for this fact, never one that the record edits in."""
    relation, subject = key
    free = [wording for wording in wordings if wording not in asked]
    rng = random.Random(f"held out {seed} {relation} {subject}")
    held_out = rng.sample(free, min(len(free), round(HELD_OUT_SHARE * len(wordings))))
    return Fact(relation, subject, answer, tuple(w for w in wordings if w not in held_out), tuple(held_out))
