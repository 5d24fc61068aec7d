"""The chain of events: laws of the chain itself, and of its rows on every database."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from patchmgr.canonical import sha256_hex
from patchmgr_migrations.triggers import APPEND_ONLY, expected_triggers
from patchmgr_registry import Anchor, Event, EventObject, Origin, verify_chain
from patchmgr_registry.events import GENESIS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON_NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers()


@st.composite
def chains(draw: st.DrawFn, min_size: int = 1) -> list[Event]:
    previous, chain = GENESIS, []
    for sequence in range(1, draw(st.integers(min_size, 6)) + 1):
        event = Event(
            sequence=sequence,
            time=draw(st.sampled_from(["2026-01-02T03:04:05.000000Z", "2020-01-01T00:00:00.000000Z"])),
            actor=draw(TEXT),
            host="worker-1",
            program_version="0.1.0",
            command=tuple(draw(st.lists(TEXT, max_size=3))),
            action=draw(TEXT),
            objects=tuple(
                EventObject("model", draw(TEXT), draw(st.none() | TEXT)) for _ in range(draw(st.integers(0, 2)))
            ),
            result="ok",
            scores=tuple(draw(st.lists(st.fixed_dictionaries({"value": JSON_NUMBER}), max_size=2))),
            previous_sha256=previous,
            sha256="",
        )
        event = replace(event, sha256=event.computed_sha256())
        chain.append(event)
        previous = event.sha256
    return chain


def head_of(chain: list[Event]) -> Anchor:
    return Anchor(chain[-1].sequence, chain[-1].sha256)


@settings(deadline=None)
@given(chains())
def test_a_chain_holds_whatever_is_in_it(chain):
    assert verify_chain(chain) is None
    assert verify_chain(chain, head=head_of(chain), anchors=[head_of(chain[:1])]) is None


@settings(deadline=None)
@given(chains(), st.data())
def test_any_single_change_is_found_and_named(chain, data):
    place = data.draw(st.integers(0, len(chain) - 1))
    field = data.draw(st.sampled_from([field.name for field in fields(Event)]))
    changed = {
        "sequence": chain[place].sequence + data.draw(st.sampled_from([-1, 1, 7])),
        "command": (*chain[place].command, "--force"),
        "objects": (*chain[place].objects, EventObject("model", "other")),
        "scores": (*chain[place].scores, {"value": 1.0}),
    }.get(field, "changed")
    tampered = [*chain[:place], replace(chain[place], **{field: changed}), *chain[place + 1 :]]
    problem = verify_chain(tampered, head=head_of(chain))
    assert problem is not None
    if field != "sequence":
        assert problem.sequence == place + 1


@settings(deadline=None)
@given(chains(), st.data())
def test_any_removal_is_found_and_named(chain, data):
    place = data.draw(st.integers(0, len(chain) - 1))
    problem = verify_chain([*chain[:place], *chain[place + 1 :]], head=head_of(chain))
    assert problem is not None
    assert (problem.kind, problem.sequence) == ("removed", place + 1)


@settings(deadline=None)
@given(chains(), chains(), st.data())
def test_any_insertion_is_found(chain, other, data):
    place = data.draw(st.integers(0, len(chain)))
    inserted = data.draw(st.sampled_from([*chain, *other]))
    inserted = data.draw(st.sampled_from([inserted, replace(inserted, sequence=place + 1)]))
    assert verify_chain([*chain[:place], inserted, *chain[place:]], head=head_of(chain)) is not None


@settings(deadline=None)
@given(chains())
def test_a_well_made_event_behind_the_end_is_found(chain):
    last = chain[-1]
    extra = replace(last, sequence=last.sequence + 1, previous_sha256=last.sha256)
    extra = replace(extra, sha256=extra.computed_sha256())
    problem = verify_chain([*chain, extra], head=head_of(chain))
    assert problem is not None
    assert (problem.kind, problem.sequence) == ("inserted", extra.sequence)


@settings(deadline=None)
@given(chains(min_size=2), st.data())
def test_any_reordering_is_found(chain, data):
    order = data.draw(st.permutations(range(len(chain))).filter(lambda order: order != sorted(order)))
    assert verify_chain([chain[place] for place in order], head=head_of(chain)) is not None
    renumbered = [replace(chain[place], sequence=number) for number, place in enumerate(order, start=1)]
    assert verify_chain(renumbered, head=head_of(chain)) is not None


@settings(deadline=None)
@given(chains(min_size=2))
def test_a_recomputed_chain_is_shown_by_an_anchor_outside(chain):
    forged, previous = [], GENESIS
    for event in chain:
        forgery = replace(event, actor=f"{event.actor}x", previous_sha256=previous)
        forged.append(replace(forgery, sha256=forgery.computed_sha256()))
        previous = forged[-1].sha256
    assert verify_chain(forged, head=head_of(forged)) is None, "it is consistent in itself"
    problem = verify_chain(forged, anchors=[head_of(chain[:1])])
    assert problem is not None
    assert (problem.kind, problem.sequence) == ("changed", 1)


def test_the_hashed_bytes_are_those_of_the_documentation():
    event = Event(
        sequence=1,
        time="2026-01-02T03:04:05.000000Z",
        actor="ána",
        host="worker-1",
        program_version="0.1.0",
        command=("patchmgr", "apply", "prod"),
        action="apply",
        objects=(EventObject("model", "prod"),),
        result="ok",
        scores=({"metric": "reliability", "value": 0.975},),
        previous_sha256=GENESIS,
        sha256="",
    )
    golden = (
        '{"action":"apply","actor":"ána","command":["patchmgr","apply","prod"],"host":"worker-1",'
        '"objects":[{"digest":null,"kind":"model","name":"prod"}],'
        f'"previous_sha256":"{"0" * 64}","program_version":"0.1.0","result":"ok",'
        '"scores":[{"metric":"reliability","value":0.975}],"sequence":1,"time":"2026-01-02T03:04:05.000000Z"}\n'
    )
    assert event.computed_sha256() == sha256_hex(golden.encode())


def test_words_of_a_command_that_are_no_text_can_be_recorded(registry):
    with registry.begin() as tx:
        tx.record_event(Origin.current("0.1.0", ["patchmgr", "\udcff"]), "edit", objects=[])
        tx.commit()
    assert registry.events()[0].command == ("patchmgr", "\\udcff")


@pytest.fixture
def chained(registry, origin):
    """Six events: models a, b, a, b, A, b, and the package p in the first three; the clock goes backwards."""
    with registry.begin() as tx:
        for number, name in enumerate(("a", "b", "a", "b", "A", "b")):
            objects = [EventObject("model", name, "0" * 64)] + [EventObject("package", "p_%")] * (number < 3)
            time = f"2026-01-0{9 - number}T00:00:00.000000Z"
            tx.record_event(origin, "apply", objects=objects, scores=[{"value": 0.1 + 0.2}], time=time)
        tx.commit()
    return registry


def _sequences(events):
    return [event.sequence for event in events]


def test_events_are_found_by_what_they_are_about(chained):
    assert _sequences(chained.events()) == [1, 2, 3, 4, 5, 6]
    assert _sequences(chained.events(limit=2)) == [5, 6]
    assert _sequences(chained.events(model="a")) == [1, 3]
    assert _sequences(chained.events(model="b", limit=2)) == [4, 6]
    assert _sequences(chained.events(package="p_%")) == [1, 2, 3]
    assert _sequences(chained.events(model="a", package="p_%", limit=1)) == [3]
    assert chained.events(model="c") == ()


def test_an_event_of_a_rolled_back_transaction_never_was(chained, origin):
    head = chained.event_head()
    with chained.begin() as tx:
        assert tx.record_event(origin, "apply", objects=[]).sequence == 7
    assert chained.event_head() == head
    assert chained.verify_events([head, Anchor(1, chained.events()[0].sha256)]) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET actor = 'eve' WHERE sequence = 2", "DELETE FROM events WHERE sequence = 6"]
)
def test_triggers_refuse_update_and_delete(chained, statement):
    with pytest.raises(DBAPIError, match=APPEND_ONLY), chained._engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert chained.verify_events() is None


def test_triggers_refuse_to_empty_the_table_at_once(chained):
    statements = {"postgresql": "TRUNCATE events", "sqlite": "DELETE FROM events"}  # how SQLite truncates
    with pytest.raises(DBAPIError, match=APPEND_ONLY), chained._engine.begin() as connection:
        connection.exec_driver_sql(statements[chained.dialect.url.get_backend_name()])
    assert chained.verify_events() is None


OBJECTS = json.dumps([{"digest": None, "kind": "model", "name": "z"}], separators=(",", ":"))


@pytest.mark.parametrize(
    ("statement", "kind", "sequence"),
    [
        ("UPDATE events SET actor = 'eve' WHERE sequence = 2", "changed", 2),
        ("UPDATE events SET time = '2026-01-08T00:00:00.000001Z' WHERE sequence = 2", "changed", 2),
        (f"UPDATE events SET objects = '{OBJECTS}' WHERE sequence = 3", "changed", 3),
        ("UPDATE events SET objects = 'no json' WHERE sequence = 3", "changed", 3),
        ("UPDATE events SET objects = '[ ]' WHERE sequence = 3", "changed", 3),
        ("UPDATE events SET objects = '[{}]' WHERE sequence = 3", "changed", 3),
        ("UPDATE events SET scores = '[1]' WHERE sequence = 3", "changed", 3),
        ("DELETE FROM events WHERE sequence = 1", "removed", 1),
        ("DELETE FROM events WHERE sequence = 4", "removed", 4),
        ("DELETE FROM events WHERE sequence = 6", "removed", 6),
        ("DELETE FROM events", "removed", 1),
        ("UPDATE events SET sequence = 9 WHERE sequence = 6", "reordered", 6),
        ("UPDATE event_head SET sequence = 5", "inserted", 6),
    ],
)
def test_verification_finds_what_was_done_past_the_triggers(chained, statement, kind, sequence):
    backend = chained.dialect.url.get_backend_name()
    with chained._engine.begin() as connection:
        for name in expected_triggers(backend):
            if name.startswith("events_"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}" + (" ON events" if backend == "postgresql" else ""))
        connection.exec_driver_sql(statement)
    problem = chained.verify_events()
    assert problem is not None
    assert (problem.kind, problem.sequence) == (kind, sequence)
    assert f"event {sequence} " in problem.message
    assert problem.kind in problem.message


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": True}, {"sequence": "7"}, {"surplus": 1}, {"command": "ab"}, {"scores": [[["a", 1]]]},
        {"objects": [{"kind": "model", "name": "a"}]}, {"objects": [{"kind": "model", "name": 1, "digest": None}]},
        {"objects": {}}, {"actor": None}, {"scores": {}},
    ],
)  # fmt: skip
def test_what_is_not_written_as_events_are_is_no_event(chained, change):
    value = chained.events()[-1].to_json()
    assert Event.from_json(value) == chained.events()[-1]
    with pytest.raises(ValueError, match="not written as events are"):
        Event.from_json({**value, **change})
