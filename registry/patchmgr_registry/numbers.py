"""Which number an event had when it was hashed, whatever number it bears now.

A hash covers the number, so the number is found by trying. Whoever sent a chain may have forged what it says of its
length: tries, and the bytes that they hash, are bounded by constants here and not by anything that was sent.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from patchmgr.canonical import canonical_json
from patchmgr_registry.events import Event

MOST_TRIED = 200_000
"""Numbers that an event is tried with: some tenths of a second."""
_MOST_HASHED_BYTES = 256 * 2**20


def has_number(event: Event, number: int) -> bool:
    """Whether the fields of an event give its hash with that number."""
    return replace(event, sequence=number).computed_sha256() == event.sha256


def find_number(event: Event, tried: range) -> int | None:
    """The first of these numbers that gives an event its hash; None: none of them, or none of the first so many.

    In canonical JSON only ``time`` stands behind ``sequence``. What stands before is hashed once for all tries.
    """
    behind = b"," + canonical_json({"time": event.time}).removeprefix(b"{")
    before = canonical_json(replace(event, sequence=0).body()).removesuffix(b"0" + behind)
    hashed = hashlib.sha256(before)
    for number in tried[: min(MOST_TRIED, _MOST_HASHED_BYTES // len(behind))]:
        digest = hashed.copy()
        digest.update(b"%d%b" % (number, behind))
        if digest.hexdigest() == event.sha256:
            return number
    return None
