"""What was done to a chain of events: the first event that was changed, removed, inserted or reordered.

The hash of an event covers its number, so an event that stands in another's place still tells which one it is: with
that number its fields give its hash. By this a chain whose rows were renumbered to hide a gap is told from one in which
a row was rewritten. A forger who recomputes every hash to the end leaves nothing of that kind; only an
:class:`~patchmgr_registry.events.Anchor` kept elsewhere shows it, and only an anchor shows events cut off the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from patchmgr.errors import IntegrityError
from patchmgr_registry.errors import UnreadableEventError
from patchmgr_registry.events import GENESIS, Anchor, Event
from patchmgr_registry.numbers import find_number, has_number

Kind = Literal["changed", "removed", "inserted", "reordered"]
ORIGIN = Anchor(0, GENESIS)
"""What the first event stands on."""
_SHIFTED = 100
"""By so many the numbers of the last rows may have been lowered."""


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """The first place where a chain is not what it was."""

    sequence: int
    kind: Kind
    message: str


def verify_chain(
    events: Iterable[Event], *, start: Anchor = ORIGIN, head: Anchor | None = None, anchors: Iterable[Anchor] = ()
) -> ChainProblem | None:
    """The first problem of a chain, or None when every link holds.

    Any event changed, removed, inserted or moved is found. Removing the last events leaves a shorter chain that is
    consistent in itself, so that alone needs ``head`` or an anchor. Memory: 64 digits an event.

    Args:
        events: the whole chain in the order of its storage, or a part of it without gaps.
        start: what the first of them stands on.
        head: the event that must be the last one.
        anchors: events that must be in the chain as they were noted; those up to ``start`` do not count.
    """
    noted: dict[int, set[str]] = {}
    for anchor in anchors:
        if anchor.sequence > start.sequence:
            noted.setdefault(anchor.sequence, set()).add(anchor.sha256)
    walked, rows = _Walked(start, []), iter(events)
    try:
        for event in rows:
            if not walked.is_followed_by(event):
                return _diagnose(walked, event, rows, head, noted)
            if noted.get(event.sequence, {event.sha256}) != {event.sha256}:
                return ChainProblem(
                    event.sequence,
                    "changed",
                    f"event {event.sequence} is not as it was noted: it or one before it was changed, and the hashes "
                    "were computed again",
                )
            walked.hashes.append(event.sha256)
    except UnreadableEventError as unreadable:
        if unreadable.sequence > walked.place:
            return _removed(walked.place)
        return ChainProblem(unreadable.sequence, "changed", unreadable.message)
    return _problem_of_end(walked.last, head, noted)


@dataclass(frozen=True, slots=True)
class _Walked:
    """The links that hold, up to the first that does not."""

    start: Anchor
    hashes: list[str]

    @property
    def place(self) -> int:
        """The number of the next event."""
        return self.start.sequence + len(self.hashes) + 1

    @property
    def last(self) -> Anchor:
        """The last event that holds."""
        return Anchor(self.place - 1, self.hashes[-1] if self.hashes else self.start.sha256)

    def hash_at(self, number: int) -> str | None:
        """The hash of one of them, or of what they stand on."""
        if number == self.start.sequence:
            return self.start.sha256
        index = number - self.start.sequence - 1
        return self.hashes[index] if 0 <= index < len(self.hashes) else None

    def is_followed_by(self, event: Event) -> bool:
        """Whether an event is the next link."""
        whole = event.sequence == self.place and event.previous_sha256 == self.last.sha256
        return whole and event.computed_sha256() == event.sha256


def _diagnose(
    walked: _Walked, event: Event, rest: Iterator[Event], head: Anchor | None, noted: Mapping[int, set[str]]
) -> ChainProblem:
    """What was done where an event is not the next link.

    Args:
        walked: the links that hold.
        event: what stands in the next place.
        rest: what comes behind it.
        head: the recorded end.
        noted: anchors.
    """
    place, behind = walked.place, _look_behind(walked, event, rest)
    n_rows = walked.place + len(behind.hashes)
    true_number = _true_number(walked, event, max([n_rows, head.sequence if head else 0, *noted]))
    if head and place > head.sequence and (true_number is None or true_number >= place):
        return _inserted_behind(head)
    if behind.next_place is not None:
        return _displaced(walked, event, true_number, behind, behind.next_place)
    if true_number == place:
        return _relinked(walked, event, behind, head, noted)
    return _lost(walked, event, true_number)


def _displaced(
    walked: _Walked, event: Event, true_number: int | None, behind: _Behind, next_place: int
) -> ChainProblem:
    """The true next event bears another number: others were put before it, or it was moved."""
    place = walked.place
    if next_place == event.sequence and true_number == place:
        return _reordered(f"event {place} stands at number {event.sequence}", place)
    if true_number in (None, place) or event.sha256 in behind.hashes or event.sha256 in walked.hashes:
        return _inserted(place)
    return _reordered(f"event {place} stands at number {next_place}, behind event {true_number}", place)


def _lost(walked: _Walked, event: Event, true_number: int | None) -> ChainProblem:
    """The true next event is nowhere: it was removed or written over, or a new one before it looks like it."""
    place = walked.place
    if true_number is None:
        if event.sequence != place:
            return _removed(place) if event.sequence > place else _inserted(place)
        return ChainProblem(place, "changed", f"event {place} was changed: its fields do not give its hash")
    if true_number > place:
        return _removed(place)
    if event.sha256 != walked.hash_at(true_number):
        return _inserted(true_number)
    if event.sequence < place:
        return _inserted(place)
    return ChainProblem(place, "changed", f"event {place} was changed: event {true_number} stands there once more")


@dataclass(frozen=True, slots=True)
class _Behind:
    """What comes behind the first place that is wrong."""

    next_place: int | None
    """The number that the true next event bears now; None: it is nowhere."""
    following: Event | None
    hashes: frozenset[str]


def _look_behind(walked: _Walked, event: Event, rest: Iterator[Event]) -> _Behind:
    next_place, following, hashes = None, None, set()
    place, before = walked.place, walked.last.sha256
    if event.previous_sha256 == before and has_number(event, place):
        next_place = event.sequence
    with contextlib.suppress(IntegrityError):  # nothing behind a row that cannot be read is known; it is not the first
        for other in rest:
            following = following or other
            hashes.add(other.sha256)
            if next_place is None and other.previous_sha256 == before and has_number(other, place):
                next_place = other.sequence
    return _Behind(next_place, following, frozenset(hashes))


def _true_number(walked: _Walked, event: Event, highest: int) -> int | None:
    """Which event this is by its hash; None: none, since it was changed."""
    if has_number(event, event.sequence):
        return event.sequence
    standing = [walked.start.sha256, *walked.hashes]
    if event.previous_sha256 in standing:
        number = walked.start.sequence + standing.index(event.previous_sha256) + 1
        return number if has_number(event, number) else None
    return find_number(event, range(walked.place, highest + _SHIFTED))


def _relinked(
    walked: _Walked, event: Event, behind: _Behind, head: Anchor | None, noted: Mapping[int, set[str]]
) -> ChainProblem:
    """An event that is whole in itself and does not stand on the one before: one of the two was written anew."""
    place = walked.place
    follower = behind.following.previous_sha256 if behind.following else head.sha256 if head else None
    is_old = event.sha256 == follower or event.sha256 in noted.get(place, ())
    number = place - 1 if is_old and walked.hashes else place
    return ChainProblem(number, "changed", f"event {number} was changed, and its hash was computed again")


def _removed(place: int) -> ChainProblem:
    return ChainProblem(place, "removed", f"event {place} was removed")


def _inserted_behind(head: Anchor) -> ChainProblem:
    number = head.sequence + 1
    return ChainProblem(number, "inserted", f"event {number} was inserted: the chain ended at {head.sequence}")


def _inserted(place: int) -> ChainProblem:
    return ChainProblem(place, "inserted", f"event {place} was inserted: what was event {place} comes behind it")


def _reordered(how: str, place: int) -> ChainProblem:
    return ChainProblem(place, "reordered", f"events were reordered: {how}")


def _problem_of_end(last: Anchor, head: Anchor | None, noted: Mapping[int, set[str]]) -> ChainProblem | None:
    end = max([*noted, head.sequence if head else 0])
    if end > last.sequence:
        number = last.sequence + 1
        return ChainProblem(number, "removed", f"event {number} was removed: the chain went on to event {end}")
    if head and last.sequence > head.sequence:
        return _inserted_behind(head)
    if head and head.sha256 != last.sha256:
        return ChainProblem(
            last.sequence, "changed", f"event {last.sequence} was changed: it is not the recorded end of the chain"
        )
    return None
