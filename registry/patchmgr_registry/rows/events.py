"""The rows of the chain of events; its rules are in :mod:`patchmgr_registry.events`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from patchmgr.errors import IntegrityError
from patchmgr_registry.errors import UnreadableEventError
from patchmgr_registry.events import Anchor, Event, EventObject, Origin
from patchmgr_registry.rows.text import from_text, to_text
from patchmgr_registry.schema import event_head, events


def read_chain(connection: Connection) -> Iterator[Event]:
    """The whole chain, one event at a time."""
    for row in connection.execute(select(events).order_by(events.c.sequence)):
        yield _event(row)


def read_events(connection: Connection, about: Iterable[tuple[str, str]], limit: int | None) -> tuple[Event, ...]:
    """The last events about every one of these objects (kind and name), oldest first."""
    wanted = tuple(about)
    query = select(events).where(*(_mentions(kind, name) for kind, name in wanted))
    found: list[Event] = []
    if not wanted:
        query = query.limit(limit)
    for row in connection.execute(query.order_by(events.c.sequence.desc())):
        if limit is not None and len(found) >= limit:
            break
        event = _event(row)
        if all(event.concerns(kind, name) for kind, name in wanted):
            found.append(event)
    return tuple(reversed(found))


def read_head(connection: Connection) -> Anchor:
    """Where the chain ends; sequence 0 before the first event."""
    row = connection.execute(select(event_head)).first()
    if row is None:
        raise IntegrityError("the end of the chain of events is not recorded", hint="restore a backup of the registry")
    return Anchor(row.sequence, row.sha256)


def append_event(
    connection: Connection,
    origin: Origin,
    *,
    action: str,
    objects: Sequence[EventObject],
    result: str,
    scores: Sequence[Mapping[str, Any]],
    time: str,
) -> Event:
    """Add the next event to the chain."""
    head = read_head(connection)
    unsigned = Event(
        sequence=head.sequence + 1,
        time=time,
        actor=origin.actor,
        host=origin.host,
        program_version=origin.program_version,
        command=origin.command,
        action=action,
        objects=tuple(objects),
        result=result,
        scores=tuple(scores),
        previous_sha256=head.sha256,
        sha256="",
    )
    event = replace(unsigned, sha256=unsigned.computed_sha256())
    values = event.to_json()
    values.update({name: to_text(values[name]) for name in ("command", "objects", "scores")})
    connection.execute(insert(events).values(values))
    connection.execute(update(event_head).values(sequence=event.sequence, sha256=event.sha256))
    return event


def _mentions(kind: str, name: str) -> ColumnElement[bool]:
    """A first sieve, by the text of the canonical JSON; the database may let through more than it should."""
    text = to_text({"kind": kind, "name": name}).removeprefix("{")
    return events.c.objects.contains(text, autoescape=True)


def _event(row: Row[Any]) -> Event:
    try:
        return Event(
            sequence=row.sequence,
            time=row.time,
            actor=row.actor,
            host=row.host,
            program_version=row.program_version,
            command=tuple(from_text(row.command)),
            action=row.action,
            objects=tuple(EventObject(**thing) for thing in from_text(row.objects)),
            result=row.result,
            scores=tuple(from_text(row.scores)),
            previous_sha256=row.previous_sha256,
            sha256=row.sha256,
        )
    except (ValueError, TypeError):
        raise UnreadableEventError(row.sequence) from None
