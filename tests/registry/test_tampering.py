"""Single changes to the rows of a chain, past every trigger: each is found, named by what was done and where."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sqlalchemy import delete, insert, select, update

from patchmgr.canonical import sha256_json
from patchmgr_migrations.triggers import expected_triggers
from patchmgr_registry import Anchor, ChainProblem, EventObject, Registry, timestamp, verify_chain
from patchmgr_registry.events import Event
from patchmgr_registry.rows.events import read_chain, read_head
from patchmgr_registry.rows.text import from_text, to_text
from patchmgr_registry.schema import event_head, events

N_EVENTS = 24
LISTS = ("command", "objects", "scores")
TEXTS = ("time", "actor", "host", "program_version", "action", "result")


@pytest.fixture
def chain(sqlite_home, origin):
    """A registry of some events without triggers, its rows, and its head; on SQLite."""
    with Registry.open(sqlite_home) as registry:
        yield stocked_chain(registry, origin)


@pytest.fixture
def any_chain(database, origin):
    """The same on each database."""
    with database.open() as registry:
        yield stocked_chain(registry, origin)


def stocked_chain(registry, origin):
    with registry.begin() as tx:
        for number in range(N_EVENTS):
            about = [EventObject("model", "prod", f"{number:064x}"), EventObject("package", f"fixes@v{number + 1}")]
            tx.record_event(origin, "apply", objects=about, scores=[{"metric": "reliability", "value": 0.5}])
        tx.commit()
    with registry._engine.begin() as connection:
        dialect = connection.dialect.name
        for name in expected_triggers(dialect):
            if name.startswith("events_"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}{' ON events' * (dialect == 'postgresql')}")
        rows = [dict(row._mapping) for row in connection.execute(select(events).order_by(events.c.sequence))]
    return registry, rows, registry.event_head()


class Forger:
    """Does one random thing to rows; each method gives them, what must be said, and where at the latest."""

    def __init__(self, rows, seed: int) -> None:
        self.rows = [dict(row) for row in rows]
        self.rng = random.Random(seed)

    def edit(self):
        place = self.rng.randrange(len(self.rows))
        row = self.rows[place]
        column = self.rng.choice([*TEXTS, *LISTS, "previous_sha256", "sha256"])
        row[column] = self._other(column, row[column])
        if column != "sha256" and self.rng.random() < 0.5:
            self._rehash(row)
        return "changed", place + 1

    def delete(self):
        place = self.rng.randrange(len(self.rows))
        del self.rows[place]
        if self.rng.random() < 0.5:
            self._renumber()
        return "removed", place + 1

    def insert(self):
        place = self.rng.randint(0, len(self.rows))
        row = dict(self.rng.choice(self.rows))
        row |= {"actor": "eve", "time": timestamp(), "sha256": f"{self.rng.getrandbits(256):064x}"}
        self.rows.insert(place, row)
        self._renumber()
        if self.rng.random() < 0.5:
            row["previous_sha256"] = self.rows[place - 1]["sha256"] if place else "0" * 64
        if self.rng.random() < 0.5:
            self._rehash(row)
        return "inserted", place + 1

    def reorder(self):
        first, second = sorted(self.rng.sample(range(len(self.rows)), 2))
        if self.rng.random() < 0.5:
            self.rows[first], self.rows[second] = self.rows[second], self.rows[first]
        elif self.rng.random() < 0.5:
            self.rows.insert(second, self.rows.pop(first))
        else:
            self.rows.insert(first, self.rows.pop(second))
        self._renumber()
        return "reordered", first + 1

    def number(self):
        """Column ``sequence`` alone, so that the row stands elsewhere and has left its place."""
        place = self.rng.randrange(len(self.rows))
        row = self.rows[place]
        if self.rng.random() < 0.5:
            row["sequence"] = -self.rng.randrange(5)
            self.rows.insert(0, self.rows.pop(place))
            return "reordered", 1
        row["sequence"] = len(self.rows) + self.rng.choice([1, 2, 99, 2**31 - 1 - len(self.rows)])
        self.rows.append(self.rows.pop(place))
        if self.rng.random() < 0.5:
            self._rehash(row)
            return "removed", place + 1
        return "reordered", place + 1

    def cut(self):
        left = self.rng.randint(1, len(self.rows) - 1)
        del self.rows[left:]
        return "removed", left + 1

    def _other(self, column: str, value: str) -> str:
        if column in LISTS and self.rng.random() < 0.8:
            inside = from_text(value)
            drop = inside and self.rng.random() < 0.5
            return to_text(inside[:-1] if drop else [*inside, *(inside or ["--force"])])
        if column == "time" and self.rng.random() < 0.8:
            return value.replace(value[self.rng.randrange(17, 19)], "x", 1)
        at = self.rng.randrange(len(value) + 1)
        return value[:at] + self.rng.choice("aZ9 é\x01{") + value[at + self.rng.randrange(2) :]

    def _renumber(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            row["sequence"] = number

    def _rehash(self, row) -> None:
        try:
            body = {**row, **{name: from_text(row[name]) for name in LISTS}}
            row["sha256"] = Event.from_json(body).computed_sha256()
        except ValueError:  # nothing that has a hash
            pass


def problem_of(registry, rows, anchor):
    """What is found where these are the rows; the head is what a forger can make it: the last of them after a cut."""
    with registry._engine.connect() as connection:
        registry.dialect.begin_writing(connection)
        connection.execute(delete(events))
        connection.execute(insert(events), rows)
        if anchor is not None:
            connection.execute(update(event_head).values(sequence=len(rows), sha256=rows[-1]["sha256"]))
            assert verify_chain(read_chain(connection), head=read_head(connection)) is None, "a cut is consistent"
        found = verify_chain(read_chain(connection), head=read_head(connection), anchors=[anchor] if anchor else [])
        connection.rollback()
    return found


def try_changes(chain, n: int, seed: int = 0) -> None:
    registry, rows, head = chain
    kinds = ("edit", "delete", "insert", "reorder", "number", "cut")
    for number in range(n):
        forger = Forger(rows, seed + number)
        kind = kinds[number % len(kinds)]
        wanted = getattr(forger, kind)()
        if forger.rows == rows:
            continue
        found = problem_of(registry, forger.rows, Anchor(*head_of(head)) if kind == "cut" else None)
        assert found is not None, (kind, seed + number)
        assert (found.kind, found.sequence) == wanted, (kind, seed + number, found)
        assert found.kind in found.message
    assert registry.verify_events([head]) is None


def head_of(head: Anchor) -> tuple[int, str]:
    return head.sequence, head.sha256


def test_each_of_300_random_changes_is_found_and_named(chain):
    try_changes(chain, 300)


def test_random_changes_are_found_and_named_on_each_database(any_chain):
    try_changes(any_chain, 60, seed=500_000)


@pytest.mark.slow
def test_each_of_10000_random_changes_is_found_and_named(chain):
    try_changes(chain, 10_000, seed=1_000_000)


def test_a_chain_recomputed_to_its_end_is_found_by_an_anchor_alone(chain):
    registry, rows, head = chain
    for first in range(N_EVENTS):
        forged = [dict(row) for row in rows]
        forged[first]["actor"] = "eve"
        previous = forged[first]["previous_sha256"]
        for row in forged[first:]:
            row["previous_sha256"] = previous
            body = {**row, **{name: from_text(row[name]) for name in LISTS}}
            previous = row["sha256"] = Event.from_json(body).computed_sha256()
        found = problem_of(registry, forged, head)
        assert found is not None
        assert (found.kind, found.sequence) == ("changed", N_EVENTS)


@pytest.mark.parametrize("column", ["actor", "objects", "sha256", "time"])
@pytest.mark.parametrize("value", [b"\x00\xff", "\\u0000", "[[[[1e400]]]]", "[NaN]", "[" * 5000])
def test_a_row_of_garbage_is_a_changed_row(chain, column, value):
    registry, *_ = chain
    with registry._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE events SET {column} = ? WHERE sequence = 5", (value,))
    found = registry.verify_events()
    assert found is not None
    assert (found.kind, found.sequence) == ("changed", 5)


def test_text_that_is_no_utf8_is_found(chain):
    registry, *_ = chain
    with registry._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET actor = CAST(X'ff61' AS TEXT) WHERE sequence = 5")
    found = registry.verify_events()
    assert found is not None
    assert (found.kind, found.sequence) == ("changed", 5)


def test_many_events_removed_and_the_rest_renumbered_are_removed_ones(chain):
    registry, rows, _head = chain
    left = [*rows[:2], *rows[-2:]]
    found = problem_of(registry, [{**row, "sequence": number} for number, row in enumerate(left, start=1)], None)
    assert found == ChainProblem(3, "removed", "event 3 was removed")
    whole = [Event.from_json({**row, **{name: from_text(row[name]) for name in LISTS}}) for row in rows]
    later = replace(whole[2], sequence=100_000, previous_sha256="1" * 64)
    later = replace(later, sha256=later.computed_sha256())
    cut = [*whole[:2], replace(later, sequence=3)]
    assert verify_chain(cut, head=Anchor(100_000, later.sha256)) == ChainProblem(3, "removed", "event 3 was removed")


@pytest.mark.parametrize("text", ["a", "a" * 1_000_000], ids=["short", "long"])
@pytest.mark.parametrize("field", ["actor", "time"])
def test_a_forged_end_keeps_nobody_busy(chain, monkeypatch, field, text):
    """Whatever a head or an anchor says of the chain's length: a row is hashed as a whole a few times."""
    _registry, rows, _head = chain
    whole = [Event.from_json({**row, **{name: from_text(row[name]) for name in LISTS}}) for row in rows[:3]]
    forged = [*whole[:2], replace(whole[2], previous_sha256="1" * 64, **{field: text})]
    hashed = []

    def counted(event):
        hashed.append(event)
        assert len(hashed) < 20, "a number is tried after the other"
        return sha256_json(event.body())

    monkeypatch.setattr(Event, "computed_sha256", counted)
    for far in (10**6, 10**18, 10**300):
        del hashed[:]
        found = verify_chain(forged, head=Anchor(far, "2" * 64), anchors=[Anchor(far + 1, "3" * 64)])
        assert found is not None
        assert (found.kind, found.sequence) == ("changed", 3)


def test_a_forged_number_keeps_nobody_busy(chain):
    registry, *_ = chain
    with registry._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE events SET sequence = 4611686018427387904, actor = 'eve' WHERE sequence = 24"
        )
    found = registry.verify_events()
    assert found is not None
    assert (found.kind, found.sequence) == ("removed", 24)
