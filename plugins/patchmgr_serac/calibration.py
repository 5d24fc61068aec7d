"""The threshold of a memory, by questions that are known to lie inside or outside the scope of some entries.

An editor brings such entries and questions from its validation data, so a memory can be calibrated at any size without
a look at the probes that it is measured with. The larger a memory, the likelier is some entry near a question that it
does not answer; so once a memory has more entries than its threshold was calibrated with, it is calibrated again, with
its own entries beside those of the validation data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError
from patchmgr_serac.equations import best_threshold
from patchmgr_serac.facts import Facts
from patchmgr_serac.lookup import Lookup

FILE = "calibration.json"
_RANKS = 8
"""Entries of a question that are looked at until one may count."""


@dataclass(frozen=True)
class Questions:
    """Entries, and questions that are known to lie in the scope of one, or of none."""

    entries: tuple[tuple[str, str], ...]
    """(prompt, label) each; no prompt twice."""
    inside: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True)
class Calibrated:
    """A threshold, and the number of entries that stood against the questions when it was chosen."""

    threshold: float
    entries: int


@dataclass(frozen=True)
class Known:
    """An entry of a memory that is calibrated."""

    prompt: str
    label: str
    subject: str | None

    def may_answer(self, question: str) -> bool:
        """Whether a question may be about the entry, so that claiming it proves nothing."""
        return question == self.prompt or (self.subject is not None and self.subject in question)


def questions_of(known: Facts, entries: int) -> Questions:
    """Entries and questions of validation data: the first prompts, up to a number, each with its first label."""
    first = {fact.prompt: fact for fact in reversed(known.facts)}
    chosen = [first[prompt] for prompt in list(dict.fromkeys(fact.prompt for fact in known.facts))[:entries]]
    inside = dict.fromkeys(question for fact in chosen for question, _ in fact.inside)
    outside = dict.fromkeys(question for fact in chosen for question in (*fact.outside, *fact.same_subject))
    covered = {question for fact in chosen for question in known.scope[fact.prompt]}
    return Questions(
        tuple(fact.entry for fact in chosen),
        tuple(inside),
        tuple(question for question in outside if question not in covered),
    )


def calibrate(lookup: Lookup, questions: Questions, memory: Sequence[Known] = ()) -> Calibrated:
    """The threshold nearest the published 0.5 whose balanced accuracy is within one standard error of the best.

    Args:
        lookup: over the entries of the questions, and those of the memory behind them.
        questions: what is asked.
        memory: the entries of the memory; one that a question outside may be about does not count for that question.
    """
    inside = lookup.ranked(questions.inside).probabilities[:, 0]
    outside = _strangers(lookup, questions, memory)
    return Calibrated(best_threshold(inside, outside), len(lookup.entries))


def _strangers(lookup: Lookup, questions: Questions, memory: Sequence[Known]) -> Float[Tensor, " outside"]:
    """Of each question outside, the likelihood of the likeliest entry that it cannot be about; 0 where all can."""
    found = lookup.ranked(questions.outside, _RANKS)
    own = len(questions.entries)
    scores = torch.zeros(len(questions.outside), dtype=torch.float64)
    for row, question in enumerate(questions.outside):
        for score, place in zip(found.probabilities[row].tolist(), found.places[row].tolist(), strict=True):
            if place < own or not memory[place - own].may_answer(question):
                scores[row] = score
                break
    return scores


def dump(questions: Questions, calibrated: Calibrated) -> bytes:
    """``calibration.json``, canonical."""
    return canonical_json(
        {
            "format_version": 1,
            "entries": questions.entries,
            "inside": questions.inside,
            "outside": questions.outside,
            "threshold": calibrated.threshold,
            "calibrated_at": calibrated.entries,
        }
    )


def load(path: Path, *, where: str) -> tuple[Questions, Calibrated]:
    """What :func:`dump` wrote.

    Raises:
        FormatError: it is malformed.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
        entries = tuple((str(prompt), str(label)) for prompt, label in value["entries"])
        inside, outside = (tuple(str(question) for question in value[side]) for side in ("inside", "outside"))
        return Questions(entries, inside, outside), Calibrated(float(value["threshold"]), int(value["calibrated_at"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{where}: {FILE} cannot be read ({error})", hint="train the editor again") from None


def joined(lookup: Lookup, own: Lookup) -> Lookup:
    """Both sets of entries in one, the first first; the networks are the same."""
    keys = None
    if lookup.keys is not None and own.keys is not None:
        keys = torch.cat([lookup.keys, own.keys])
    return replace(lookup, entries=(*lookup.entries, *own.entries), keys=keys)
