"""A registry whose file is broken, whose lock is held, whose clock is wrong, or that two machines share."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from contextlib import closing

import pytest

from patchmgr.cli.main import main
from patchmgr.errors import BusyError, IntegrityError
from patchmgr_registry import EventObject, Origin, Owner, Registry, owner
from patchmgr_registry import store as store_module
from patchmgr_registry import transaction as transaction_module

ORIGIN = Origin("ana", "worker", "0", ("patchmgr",))


@pytest.fixture
def filled(home, base):
    """A home whose registry has a model and some events."""
    with Registry.open(home) as registry, registry.begin() as tx:
        tx.add_base(base, [])
        tx.add_model("prod", base.key, state_root="0" * 64)
        for _ in range(20):
            tx.record_event(ORIGIN, "apply", objects=[EventObject("model", "prod")])
        tx.commit()
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home


def ended(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["patchmgr", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


# A broken file


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def scribbled(data: bytes) -> bytes:
    return data[:4096] + b"\xa5" * (len(data) - 4096)


@pytest.mark.parametrize(
    "harm", [cut, scribbled, lambda data: b"no database at all\n" * 500], ids=["cut", "pages", "text"]
)
@pytest.mark.parametrize("words", [("list",), ("status",), ("fsck",), ("audit", "verify")], ids=" ".join)
def test_a_damaged_file_ends_every_command_with_6_and_words(filled, monkeypatch, capsys, harm, words):
    place = filled / "registry.db"
    place.write_bytes(harm(place.read_bytes()))
    assert ended(monkeypatch, *words) == 6
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert "registry" in told.err + told.out


def test_a_row_that_holds_what_is_no_value_is_told_as_damage(filled):
    with closing(sqlite3.connect(filled / "registry.db")) as connection, connection:
        connection.execute("UPDATE generations SET heartbeat = 'soon', status = 'pending', host = 'machine-b'")
        connection.execute("UPDATE bases SET folder = x'ff00', fingerprint = CAST(x'ff' AS TEXT)")
    with Registry.open(filled) as registry:
        for ask in (registry.stale_generations, registry.models):
            with pytest.raises(IntegrityError, match="registry"):
                ask()


def test_what_a_damaged_row_says_does_nothing_to_a_terminal(filled, monkeypatch, capsys):
    with closing(sqlite3.connect(filled / "registry.db")) as connection, connection:
        connection.execute("UPDATE bases SET source = CAST(? AS TEXT)", (b"\xff\n\x1b[2Jgone",))
    assert ended(monkeypatch, "model", "list") == 6
    told = capsys.readouterr().err
    assert "gone" in told
    assert "\x1b" not in told
    assert told.count("\n") == told.strip().count("\n") + 1 == 2


def test_a_chain_whose_end_is_noted_wrongly_takes_no_event_and_is_told(filled):
    with closing(sqlite3.connect(filled / "registry.db")) as connection, connection:
        connection.execute("UPDATE event_head SET sequence = 3")
    with Registry.open(filled) as registry:
        with pytest.raises(IntegrityError), registry.begin() as tx:
            tx.record_event(ORIGIN, "apply", objects=[])
        assert registry.verify_events() is not None


def test_a_database_that_does_not_say_its_revision_is_refused(filled):
    with closing(sqlite3.connect(filled / "registry.db")) as connection, connection:
        connection.execute("DELETE FROM alembic_version")
    with pytest.raises(IntegrityError, match="which revision"):
        Registry.open(filled)


# A lock that somebody holds


@pytest.fixture
def held(filled):
    """Another process has the write lock."""
    with closing(sqlite3.connect(filled / "registry.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield filled
        connection.execute("ROLLBACK")


def test_a_held_lock_ends_a_change_with_7_after_a_bounded_wait(held, monkeypatch, capsys):
    real = store_module.Registry.open.__func__
    monkeypatch.setattr(
        store_module.Registry,
        "open",
        classmethod(lambda cls, *words, **more: real(cls, *words, **more, busy_timeout_s=0.2)),
    )
    began = time.monotonic()
    assert ended(monkeypatch, "model", "remove", "prod", "--yes") == 7
    assert "another process is writing" in capsys.readouterr().err
    assert time.monotonic() - began < 60
    assert [event.action for event in Registry.open(held).events()].count("model-remove") == 0


def test_reading_goes_on_beside_a_writer(held):
    with Registry.open(held, busy_timeout_s=0.2) as registry:
        assert [model.name for model in registry.models()] == ["prod"]
        assert registry.verify_events() is None


# A clock that goes backwards


def test_events_keep_their_order_when_the_clock_goes_backwards_and_it_is_said(filled, monkeypatch, caplog):
    with Registry.open(filled) as registry:
        before = registry.event_head()
        with caplog.at_level(logging.WARNING), registry.begin() as tx:
            monkeypatch.setattr(transaction_module, "timestamp", lambda: "2001-01-01T00:00:00.000000Z")
            late = tx.record_event(ORIGIN, "tag", objects=[])
            monkeypatch.undo()
            tx.record_event(ORIGIN, "tag", objects=[])
            tx.commit()
        assert [message for message in caplog.messages if f"event {late.sequence} is noted at 2001" in message]
        assert len(caplog.messages) == 1
        assert registry.verify_events([before]) is None
        assert [event.sequence for event in registry.events()] == list(range(1, before.sequence + 3))


# Two machines, one folder


def elsewhere(monkeypatch, registry, host: str):
    """A generation that a process of another machine writes."""
    monkeypatch.setattr(owner, "host_name", lambda: host)
    with registry.begin() as tx:
        made = tx.begin_generation("prod", action="apply", packages=[])
        tx.commit()
    monkeypatch.undo()
    return made


def beat(home, moment: str) -> None:
    with closing(sqlite3.connect(home / "registry.db")) as connection, connection:
        connection.execute("UPDATE generations SET heartbeat = ? WHERE status = 'pending'", (moment,))


def test_what_another_machine_writes_is_left_to_it_while_it_shows_signs_of_life(filled, monkeypatch):
    with Registry.open(filled) as registry:
        made = elsewhere(monkeypatch, registry, "machine-b")
        assert made.owner.host == "machine-b" != Owner.current().host
        assert registry.stale_generations() == ()
        with pytest.raises(BusyError, match="machine-b writes generation 1 of prod") as refused, registry.begin() as tx:
            tx.begin_generation("prod", action="apply", packages=[])
        assert "last sign of life" in str(refused.value.hint)
        with pytest.raises(BusyError), registry.begin() as tx:
            tx.remove_model("prod")


def test_what_another_machine_left_is_taken_over_after_its_silence(filled, monkeypatch):
    with Registry.open(filled) as registry:
        made = elsewhere(monkeypatch, registry, "machine-b")
        beat(filled, "2020-01-01T00:00:00.000000Z")
        assert [generation.number for generation in registry.stale_generations()] == [made.number]
        with registry.begin() as tx:
            after = tx.begin_generation("prod", action="apply", packages=[])
            tx.commit()
        assert registry.generation("prod", made.number).status == "failed"
        assert after.number == made.number + 1
        with pytest.raises(BusyError, match="gave it up"), registry.begin() as tx:  # the other machine wakes up
            tx.finish_generation("prod", made.number, state_root="1" * 64, folder=None, tensors={})


def test_a_machine_whose_clock_is_ahead_is_told_of(filled, monkeypatch):
    with Registry.open(filled) as registry:
        elsewhere(monkeypatch, registry, "machine-b")
        beat(filled, "2999-01-01T00:00:00.000000Z")
        with pytest.raises(BusyError) as refused, registry.begin() as tx:
            tx.begin_generation("prod", action="apply", packages=[])
        assert "minutes ahead" in str(refused.value.hint)


def test_the_name_of_this_machine_is_one_function(monkeypatch):
    monkeypatch.setattr(owner, "host_name", lambda: "machine-b")
    assert Owner.current().host == "machine-b"
