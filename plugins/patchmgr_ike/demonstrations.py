"""Demonstrations (IKE, arXiv:2305.12740, section 3.2): how a new fact is copied, updated and kept from what it is not.

One is three texts: a new fact, a question, and its answer. *Copy* asks the fact's own prompt; *update* asks it in other
words; *retain* asks something else, whose answer stays. Their shares are the published 1 : 3 : 4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError
from patchmgr.package.memory.operations import Entry, entry_id
from patchmgr.request import EditRequest

FILE = "demonstrations.jsonl"
KINDS = ("retain", "update", "retain", "update", "retain", "update", "retain", "copy")


@dataclass(frozen=True)
class Probes:
    """What an entry can demonstrate: questions and answers of each kind."""

    update: tuple[tuple[str, str], ...] = ()
    retain: tuple[tuple[str, str], ...] = ()


def probes_of(requests: Iterable[EditRequest], entries: Iterable[Entry]) -> dict[str, Probes]:
    """What entries can demonstrate, from their requests' rephrasings and locality probes, by id."""
    there = {entry.id for entry in entries}
    return {
        entry_id(request): Probes(
            tuple((text, request.target_new) for text in request.rephrasings),
            tuple((probe.prompt, probe.target) for probe in request.locality),
        )
        for request in requests
        if entry_id(request) in there
    }


def dump_probes(probes: Mapping[str, Probes]) -> bytes:
    """JSON lines in canonical form."""
    return b"".join(
        canonical_json({"id": name, "retain": each.retain, "update": each.update}) for name, each in probes.items()
    )


def parse_probes(data: bytes, *, where: str) -> dict[str, Probes]:
    """What :func:`dump_probes` wrote.

    Raises:
        FormatError: a line is malformed.
    """
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in data.splitlines()]
        return {line["id"]: Probes(_pairs(line["update"]), _pairs(line["retain"])) for line in lines}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{where}/{FILE} cannot be read ({error})") from None


def demonstrations(neighbours: Sequence[Entry], probes: Mapping[str, Probes], n: int) -> Iterator[tuple[str, str, str]]:
    """(new fact, question, answer), at most ``n``, one of each neighbour, the nearest neighbour last.

    A neighbour that has no probe of the kind that is due copies.
    """
    for entry, kind in reversed(list(zip(neighbours[:n], cycle(KINDS), strict=False))):
        known = probes.get(entry.id, Probes())
        pairs = {"update": known.update, "retain": known.retain}.get(kind, ())
        question, answer = pairs[0] if pairs else (entry.prompt, entry.target)
        yield f"{entry.prompt} {entry.target}", question, answer


def _pairs(value: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(question), str(answer)) for question, answer in value)
