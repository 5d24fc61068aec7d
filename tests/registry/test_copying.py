"""Copying a registry: every row and every event, to the other kind of database and back, or nothing at all."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from patchmgr.errors import BusyError, ConflictError, IntegrityError, NotFoundError
from patchmgr.request import EditRequest
from patchmgr_registry import (
    EditorRecord,
    EventObject,
    FileRecord,
    Registry,
    SignatureRecord,
    TensorRecord,
    timestamp,
)
from patchmgr_registry.schema import metadata

REQUESTS = (EditRequest(prompt="The capital of {} is", subject="Österreich", target_new="Graz"),)


@pytest.fixture
def source(sqlite_home, base, origin, make_version, make_score):
    """A registry in a file, with rows in every table, gaps in its numbers and a chain of events."""
    with Registry.open(sqlite_home) as registry:
        with registry.begin() as tx:
            tx.add_base(
                base, [TensorRecord(f"h.{n}.w", "x.safetensors", "BF16", (6, 4), "a" * 64) for n in range(1100)]
            )
            tx.add_model("prod", base.key, state_root="b" * 64)
            for number in (1, 2):
                version = make_version(number=number, message="Zeile\nzwei 🦆 'quoted' \\ %s :name")
                tx.add_version(version, REQUESTS, [make_score(), make_score(value=1e-300)])
            tx.set_signature(version.digest, SignatureRecord("c" * 64, 12, timestamp()))
            tx.tag("fact-fixes@v1", "stable")
            tx.set_remote("origin", "org/fixes")
            for name in ("first", "second"):
                files = (FileRecord("networks/a", "d" * 64, 3),)
                tx.add_editor(EditorRecord(name, 1, name[0] * 64, "serac", timestamp(), 3, "{}", files))
            tx.remove_editor("f" * 64)
            for number in range(12):
                tx.record_event(origin, "tag", objects=[EventObject("model", f"é{number}")], scores=[{"value": 0.1}])
            tx.commit()
        with registry.begin() as tx:
            gone = make_version(package="gone")
            tx.add_version(gone, REQUESTS)
            tx.forget_version(gone.digest, actor="ana", reason="asked for")
            tx.commit()
        with registry.begin() as tx:
            pending = tx.begin_generation("prod", action="apply", packages=[version.digest])
            tx.finish_generation("prod", pending.number, state_root="e" * 64, folder="/x", tensors={"h.0.w": "f" * 64})
            tx.commit()
        yield registry


@pytest.fixture
def back(tmp_path, empty_sqlite):
    """One more empty registry, in a file."""
    (tmp_path / "back").mkdir()
    shutil.copy(empty_sqlite, tmp_path / "back")
    with Registry.open(tmp_path / "back") as registry:
        yield registry


def rows(registry: Registry) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a database holds, by table."""
    with registry._engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
        }


def test_every_row_is_there_and_the_chain_ends_in_the_same_hash(source, database):
    with database.open() as target:
        copied = source.copy_into(target)
        assert rows(target) == rows(source)
        assert all(rows(source).values()), "a table without a row is not tried"
        assert copied.head == target.event_head() == source.event_head()
        assert {name: len(found) for name, found in rows(source).items()} == dict(copied.rows)
        assert target.verify_events([source.event_head()]) is None
        assert target.check_database() == ()


def test_what_was_copied_goes_on_to_work(source, database, origin, make_version, base):
    with database.open() as target:
        source.copy_into(target)
        assert [found.request.target_new for found in target.search("osterreich", limit=1)] == ["Graz"]
        assert len(target.search_messages("zeile")) == 2
        with target.begin() as tx:  # numbers go on behind those that came with the rows
            tx.add_version(make_version(number=3), REQUESTS)
            tx.add_base(replace(base, fingerprint="9" * 64), [])
            tx.add_model("other", base.key, state_root="b" * 64)
            tx.add_editor(EditorRecord("third", 1, "8" * 64, "serac", timestamp(), 0, "{}", ()))
            tx.record_event(origin, "edit", objects=[])
            tx.commit()
        assert target.verify_events([source.event_head()]) is None
        with pytest.raises(Exception, match="append-only"), target._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM events")


def test_a_copy_of_the_copy_is_the_first_again(source, database, back):
    with database.open() as between:
        first = source.copy_into(between)
        second = between.copy_into(back)
        assert (first.rows, first.digests, first.head) == (second.rows, second.digests, second.head)
        assert rows(back) == rows(source)


def test_a_target_that_is_not_empty_is_refused_and_left_alone(source, database, base):
    with database.open() as target:
        with target.begin() as tx:
            tx.add_base(base, [])
            tx.commit()
        before = rows(target)
        with pytest.raises(ConflictError, match="is not empty: its table bases has 1 row"):
            source.copy_into(target)
        assert rows(target) == before


def test_an_empty_source_is_most_likely_the_target(database, back):
    with database.open() as target, pytest.raises(NotFoundError, match="nothing to copy"):
        back.copy_into(target)


def test_a_model_that_is_being_changed_is_busy(source, database):
    with source.begin() as tx:
        tx.begin_generation("prod", action="apply", packages=[])
        tx.commit()
    with database.open() as target, pytest.raises(BusyError, match="is writing generation 2 of prod"):
        source.copy_into(target)


def test_a_broken_chain_is_not_spread(source, database):
    with closing(sqlite3.connect(source.dialect.file)) as raw, raw:
        raw.execute("DROP TRIGGER events_refuse_update")
        raw.execute("UPDATE events SET actor = 'eve' WHERE sequence = 7")
    with database.open() as target:
        with pytest.raises(IntegrityError, match="event 7 was changed"):
            source.copy_into(target)
        assert target.event_head().sequence == 0


def test_when_the_last_row_fails_nothing_is_there_and_it_can_be_done_again(source, database):
    def fail(done: int, total: int, what: str) -> None:
        if done == total:
            raise KeyboardInterrupt

    with database.open() as target:
        empty = rows(target)
        with pytest.raises(KeyboardInterrupt):
            source.copy_into(target, step=fail)
        assert rows(target) == empty
        source.copy_into(target)
        assert rows(target) == rows(source)


def test_a_row_that_the_target_keeps_otherwise_is_found(source, database, monkeypatch):
    with database.open() as target:
        change = "UPDATE scores SET value = 0.30000000000000001 WHERE id = 1"
        monkeypatch.setattr(
            type(target.dialect),
            "continue_numbers",
            lambda self, connection, tables: connection.exec_driver_sql(change),
        )
        with pytest.raises(IntegrityError, match="its table scores reads back otherwise"):
            source.copy_into(target)
        assert target.packages() == ()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("DROP TABLE tags", "no such table: tags"),
        ("UPDATE tags SET name = CAST(x'ff' AS TEXT)", "cannot be read|damaged"),
        ("UPDATE bases SET size_bytes = x'ff'", "cannot be read"),
    ],
    ids=["table", "text", "blob"],
)
def test_damage_of_the_source_is_not_blamed_on_the_target(source, database, harm, told):
    with closing(sqlite3.connect(source.dialect.file)) as raw, raw:
        raw.execute(harm)
    with database.open() as target, pytest.raises(IntegrityError, match=told) as caught:
        source.copy_into(target)
    assert f"the registry {source.dialect.place} " in caught.value.message


def test_what_goes_wrong_in_the_callers_own_code_is_no_damage(source, database):
    def fail(done: int, total: int, what: str) -> None:
        raise ValueError("of whoever asked")

    with database.open() as target:
        with pytest.raises(ValueError, match="of whoever asked"):
            source.copy_into(target, step=fail)
        for wrong, mistake in ((UnicodeDecodeError, b"\xff".decode), (OverflowError, lambda: int(1e999))):
            with pytest.raises(wrong), target.begin():
                mistake()


def test_what_the_other_database_cannot_hold_is_said(source, new_postgresql, empty_postgresql, tmp_path):
    with closing(sqlite3.connect(source.dialect.file)) as raw, raw:
        raw.execute("UPDATE versions SET message = 'a' || char(0) || 'b'")
    with Registry.open(tmp_path, new_postgresql(empty_postgresql)) as target:
        with pytest.raises(IntegrityError, match="a row of versions cannot be kept in postgresql"):
            source.copy_into(target)
        assert target.packages() == ()


# The command


def test_the_command_copies_there_and_back(source, sqlite_home, new_postgresql, tmp_path, run):
    source.close()
    url = new_postgresql()
    there = run("registry", "copy", sqlite_home, url, "--json").json["copied"]
    back = run("registry", "copy", url, f"sqlite:///{tmp_path}/back/registry.db", "--json").json["copied"]
    assert there == back
    with Registry.open(tmp_path / "back") as copied:
        assert rows(copied) == rows(source)


def test_the_command_tells_what_is_wrong(source, sqlite_home, tmp_path, run):
    source.close()
    missing = run("registry", "copy", tmp_path / "nowhere", tmp_path / "new")
    assert (missing.code, "there is no registry in" in missing.err) == (1, True)
    assert not (tmp_path / "nowhere").exists()
    said = run("registry", "copy", sqlite_home, tmp_path / "new")
    assert said.code == 0 and "12 event(s)" in said.out
    assert run("registry", "copy", sqlite_home, tmp_path / "new").code == 4
    secret = run("registry", "copy", sqlite_home, f"postgresql://ana:secret@/x?host={tmp_path}")
    assert (secret.code, "secret" in secret.err) == (1, False)


@pytest.mark.parametrize("place", ["", " "])
def test_no_text_is_no_place(sqlite_home, tmp_path, run, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    for words in ((sqlite_home, place), (place, tmp_path / "new")):
        refused = run("registry", "copy", *words)
        assert (refused.code, "names no registry" in refused.err) == (2, True)
    assert not list(tmp_path.glob("registry.db"))


def test_a_file_that_is_not_there_is_not_made_to_be_copied(tmp_path, run):
    missing = run("registry", "copy", f"sqlite:///{tmp_path}/nosuch.db", tmp_path / "new")
    assert (missing.code, f"there is no registry in '{tmp_path}/nosuch.db'" in missing.err) == (1, True)
    assert list(tmp_path.glob("*.db")) == []
