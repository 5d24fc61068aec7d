"""The rows of the chain of events; its rules are in :mod:`patchmgr_registry.events`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update
from sqlalchemy.exc import OperationalError

from patchmgr.errors import IntegrityError, UsageError
from patchmgr_registry.errors import UnreadableEventError
from patchmgr_registry.event_filter import EventFilter
from patchmgr_registry.events import Anchor, Event, EventObject, Origin
from patchmgr_registry.rows.text import from_text, to_text
from patchmgr_registry.schema import event_head, events

_LISTS = ("command", "objects", "scores")
"""Columns that hold canonical JSON."""
_LONGEST_NAME = 1000
"""Characters. Models, packages and editors have shorter ones, and SQLite takes no pattern beyond 50,000 bytes."""
_BLOCK = 500
"""Rows that are read at once."""


def read_chain(connection: Connection) -> Iterator[Event]:
    """The whole chain, one event at a time."""
    query, last = select(events).order_by(events.c.sequence), -(2**63)
    try:
        for row in connection.execute(query.execution_options(yield_per=_BLOCK)):
            yield (event := _event(row))
            last = event.sequence
    except OperationalError as error:
        if "decode" not in str(error.orig):
            raise
        yield from _one_by_one(connection, last)


def _one_by_one(connection: Connection, last: int) -> Iterator[Event]:
    """Those behind a number, up to one with bytes that are no text: SQLite keeps them, its driver cannot read them."""
    numbers = select(events.c.sequence).where(events.c.sequence > last).order_by(events.c.sequence)
    for number in connection.scalars(numbers).all():
        try:
            row = connection.execute(select(events).where(events.c.sequence == number)).one()
        except OperationalError:
            raise UnreadableEventError(number) from None
        yield _event(row)


def read_page(connection: Connection, wanted: EventFilter, after: int, limit: int) -> tuple[Event, ...]:
    """The first events of a kind behind a number, oldest first; fewer than ``limit`` only at the end of the chain."""
    found: list[Event] = []
    while len(found) < limit:
        query = select(events).where(events.c.sequence > after, *_conditions(wanted))
        rows = connection.execute(query.order_by(events.c.sequence).limit(limit)).all()
        found += [event for event in map(_event, rows) if wanted.fits(event)]
        if len(rows) < limit:
            break
        after = rows[-1].sequence
    return tuple(found[:limit])


def find_newest(connection: Connection, wanted: EventFilter, limit: int) -> int:
    """The number of the oldest of the newest ``limit`` events of a kind, 1 where there are not so many."""
    if wanted.model is None and wanted.package is None:  # the database's sieve is exact
        numbers = select(events.c.sequence).where(*_conditions(wanted)).order_by(events.c.sequence.desc())
        return connection.scalar(numbers.offset(limit - 1).limit(1)) or 1
    before, left = None, limit
    while True:
        query = select(events).where(*_conditions(wanted), *(() if before is None else (events.c.sequence < before,)))
        rows = connection.execute(query.order_by(events.c.sequence.desc()).limit(min(left, _BLOCK))).all()
        for row in rows:
            before = row.sequence
            left -= wanted.fits(_event(row))
            if not left:
                return int(row.sequence)
        if not rows:
            return 1


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
    values.update({name: to_text(values[name]) for name in _LISTS})
    connection.execute(insert(events).values(values))
    connection.execute(update(event_head).values(sequence=event.sequence, sha256=event.sha256))
    return event


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    """A first sieve, by the text of the canonical JSON; the database may let through more than it should."""
    found: list[ColumnElement[bool]] = []
    for name in (wanted.model, wanted.package):
        if name is not None and len(name) > _LONGEST_NAME:
            told = f"no model and no package has a name of {len(name)} characters"
            raise UsageError(told, hint="see `patchmgr model list` and `patchmgr list`")
    if wanted.model is not None:
        text = to_text({"kind": "model", "name": wanted.model}).removeprefix("{")
        found.append(events.c.objects.contains(text, autoescape=True))
    if wanted.package is not None:
        text = to_text({"name": wanted.package}).strip("{}").removesuffix('"')
        found.append(events.c.objects.contains(text, autoescape=True))
    if wanted.actor is not None:
        found.append(events.c.actor == wanted.actor)
    if wanted.actions:
        found.append(events.c.action.in_(wanted.actions))
    if wanted.since is not None:
        found.append(events.c.time >= wanted.since)
    if wanted.before is not None:
        found.append(events.c.time < wanted.before)
    return found


def _event(row: Row[Any]) -> Event:
    try:
        values = dict(row._mapping)
        return Event.from_json({**values, **{name: from_text(values[name]) for name in _LISTS}})
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UnreadableEventError(row.sequence) from None
