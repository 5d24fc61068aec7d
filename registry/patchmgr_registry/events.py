"""The chain of events: who did what to which model, written so that a later change of the record shows.

An event is hashed over the *canonical JSON* (:mod:`patchmgr.canonical`: UTF-8, keys sorted, no spaces, one trailing
newline) of one object that holds every field but ``sha256`` itself::

    {"action":"apply","actor":"ana","command":["patchmgr","apply","prod","fact-fixes"],"host":"worker-1",
     "objects":[{"digest":"0b51…","kind":"model","name":"prod"}],"previous_sha256":"94c0…","program_version":"0.1.0",
     "result":"ok","scores":[],"sequence":7,"time":"2026-01-02T03:04:05.000000Z"}

(shown on several lines; the hashed bytes have none). ``sequence`` counts from 1 without a gap; ``previous_sha256`` is
the hash of the event before, 64 zeros for the first. Time is recorded, not relied on: a clock that goes backwards does
not break the chain. A chain that is recomputed from some event to its end is consistent again; an :class:`Anchor`
kept elsewhere shows it.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from patchmgr.canonical import sha256_json
from patchmgr_registry.owner import host_name

GENESIS = "0" * 64
"""What the first event names as the one before."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where events come from: who runs which program, and how it was called."""

    actor: str
    host: str
    program_version: str
    command: tuple[str, ...]
    """The words of the command line, or the name of the API call."""

    @classmethod
    def current(cls, program_version: str, command: Iterable[str], *, actor: str | None = None) -> Origin:
        """The user and the machine that run this; bytes of a command word that are no text are escaped."""
        words = tuple(word.encode("utf-8", "backslashreplace").decode() for word in command)
        return cls(actor=actor or _user_name(), host=host_name(), program_version=program_version, command=words)


@dataclass(frozen=True, slots=True)
class EventObject:
    """Something an event is about."""

    kind: str
    """``model``, ``package``, ``base``, ``generation``, ``remote``."""
    name: str
    digest: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """The object as it is hashed."""
        return {"kind": self.kind, "name": self.name, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Event:
    """One link of the chain."""

    sequence: int
    time: str
    actor: str
    host: str
    program_version: str
    command: tuple[str, ...]
    action: str
    objects: tuple[EventObject, ...]
    result: str
    scores: tuple[Mapping[str, Any], ...]
    """The scores that were relied on, as JSON objects."""
    previous_sha256: str
    sha256: str

    def body(self) -> dict[str, Any]:
        """Every field but ``sha256``, as plain JSON values."""
        return {
            "sequence": self.sequence,
            "time": self.time,
            "actor": self.actor,
            "host": self.host,
            "program_version": self.program_version,
            "command": list(self.command),
            "action": self.action,
            "objects": [thing.to_json() for thing in self.objects],
            "result": self.result,
            "scores": [dict(score) for score in self.scores],
            "previous_sha256": self.previous_sha256,
        }

    def to_json(self) -> dict[str, Any]:
        """Every field, as plain JSON values."""
        return {**self.body(), "sha256": self.sha256}

    def computed_sha256(self) -> str:
        """The hash that the fields give, equal to ``sha256`` unless one of them was changed."""
        return sha256_json(self.body())

    def concerns(self, kind: str, name: str) -> bool:
        """Whether the event is about that object."""
        return any(thing.kind == kind and thing.name == name for thing in self.objects)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The hash that an event is known to have had: the chain's end when it was noted."""

    sequence: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """The first place where a chain is not what it was."""

    sequence: int
    kind: Literal["changed", "missing", "unexpected", "unlinked"]
    message: str


def verify_chain(
    events: Iterable[Event], *, head: Anchor | None = None, anchors: Iterable[Anchor] = ()
) -> ChainProblem | None:
    """The first problem of a chain, or None when every link holds.

    Any event changed, removed, inserted or moved is found. Removing the last events leaves a shorter chain that is
    consistent in itself, so that alone needs ``head``.

    Args:
        events: the whole chain in the order of its storage.
        head: the event that must be the last one.
        anchors: events that must be in the chain as they were noted.
    """
    noted = {anchor.sequence: anchor.sha256 for anchor in anchors}
    previous = Anchor(0, GENESIS)
    for event in events:
        problem = _problem_of_link(event, previous, noted)
        if problem:
            return problem
        noted.pop(event.sequence, None)
        previous = Anchor(event.sequence, event.sha256)
    return _problem_of_end(previous, head, noted)


def _problem_of_link(event: Event, previous: Anchor, noted: Mapping[int, str]) -> ChainProblem | None:
    number, expected = event.sequence, previous.sequence + 1
    if number > expected:
        return ChainProblem(expected, "missing", f"event {expected} is missing: {number} follows {previous.sequence}")
    if number < expected:
        return ChainProblem(number, "unexpected", f"event {number} follows {previous.sequence}: inserted or moved")
    if event.computed_sha256() != event.sha256:
        return ChainProblem(number, "changed", f"event {number} was changed: its fields do not give its hash")
    if event.previous_sha256 != previous.sha256:
        return ChainProblem(
            number, "unlinked", f"event {number} does not follow event {previous.sequence}: one of them was replaced"
        )
    if noted.get(number, event.sha256) != event.sha256:
        return ChainProblem(number, "changed", f"event {number} is not as it was noted: the chain was recomputed")
    return None


def _problem_of_end(last: Anchor, head: Anchor | None, missing: Mapping[int, str]) -> ChainProblem | None:
    end = max([*missing, head.sequence if head else 0])
    if end > last.sequence:
        number = last.sequence + 1
        return ChainProblem(number, "missing", f"event {number} is missing: the chain went on to event {end}")
    if head and last.sequence > head.sequence:
        number = head.sequence + 1
        return ChainProblem(number, "unexpected", f"event {number} was inserted: the chain ended at {head.sequence}")
    if head and head.sha256 != last.sha256:
        return ChainProblem(last.sequence, "changed", f"event {last.sequence} is not the recorded end of the chain")
    return None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no user name in the environment nor for this number
        return "unknown"
