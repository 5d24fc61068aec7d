"""The chain of events: who did what to which model, written so that a later change of the record shows.

An event is hashed over the *canonical JSON* (:mod:`patchmgr.canonical`: UTF-8, keys sorted, no spaces, one trailing
newline) of one object that holds every field but ``sha256`` itself::

    {"action":"apply","actor":"ana","command":["patchmgr","apply","prod","fact-fixes"],"host":"worker-1",
     "objects":[{"digest":"0b51…","kind":"model","name":"prod"}],"previous_sha256":"94c0…","program_version":"0.1.0",
     "result":"ok","scores":[],"sequence":7,"time":"2026-01-02T03:04:05.000000Z"}

(shown on several lines; the hashed bytes have none). ``sequence`` counts from 1 without a gap; ``previous_sha256`` is
the hash of the event before, 64 zeros for the first. Time is recorded, not relied on: a clock that goes backwards does
not break the chain. A chain that is recomputed from some event to its end is consistent again; an :class:`Anchor`
kept elsewhere shows it. :mod:`patchmgr_registry.chain` looks for what was done to one.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
    """``model``, ``package``, ``base``, ``generation``, ``remote`` and others; ``docs/format.md``, section 16.1."""
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

    @classmethod
    def from_json(cls, value: Any) -> Event:
        """The event that :meth:`to_json` wrote.

        Raises:
            ValueError: a field lacks, is surplus or is of another type; whether the hash is right is not looked at.
        """
        try:
            lists = (value["command"], value["objects"], value["scores"])
            objects = tuple(EventObject(**thing) for thing in lists[1])
            event = cls(**{**value, "command": tuple(lists[0]), "objects": objects, "scores": tuple(lists[2])})
            told = (event.time, event.actor, event.host, event.program_version, event.action, event.result)
            texts = [*told, event.previous_sha256, event.sha256, *event.command]
            for thing in objects:
                texts += (thing.kind, thing.name, thing.digest or "")
            if (
                type(event.sequence) is int
                and all(type(item) is list for item in lists)
                and all(type(text) is str for text in texts)
                and all(len(thing) == len(EventObject.__slots__) for thing in lists[1])
                and all(type(score) is dict for score in lists[2])
            ):
                return event
        except (TypeError, KeyError, ValueError, AttributeError):
            pass
        raise ValueError("it is not written as events are")

    def computed_sha256(self) -> str:
        """The hash that the fields give, equal to ``sha256`` unless one of them was changed."""
        return sha256_json(self.body())

    def concerns(self, kind: str, name: str) -> bool:
        """Whether the event is about that object."""
        return any(thing.kind == kind and thing.name == name for thing in self.objects)

    def of_kind(self, kind: str) -> tuple[EventObject, ...]:
        """The objects of one kind, in their order."""
        return tuple(thing for thing in self.objects if thing.kind == kind)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The hash that an event is known to have had: the chain's end when it was noted."""

    sequence: int
    sha256: str


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no user name in the environment nor for this number
        return "unknown"
