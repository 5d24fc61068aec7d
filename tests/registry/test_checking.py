"""What a database finds wrong with itself, on each database."""

from __future__ import annotations

import pytest

from patchmgr_migrations.triggers import expected_triggers


def execute(database, *statements):
    with database.open() as registry, registry._engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_whole_database_has_no_problem(registry, model):
    assert registry.check_database() == ()
    with registry.begin() as tx:
        assert tx.check_database() == ()


def test_every_trigger_that_is_missing_is_named(database):
    with database.open() as registry:
        names = list(expected_triggers(registry._engine.dialect.name))
        on_table = " ON events" if registry._engine.dialect.name == "postgresql" else ""
    gone = [name for name in names if name.startswith("events_")]
    execute(database, *(f"DROP TRIGGER {name}{on_table}" for name in gone))
    with database.open() as registry:
        assert registry.check_database() == tuple(f"the trigger {name} is missing" for name in gone)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_trigger_that_was_switched_off_is_missing(database):
    execute(database, "ALTER TABLE events DISABLE TRIGGER events_refuse_change")
    with database.open() as registry:
        assert registry.check_database() == ("the trigger events_refuse_change is missing",)


def test_a_trigger_that_was_made_hollow_is_told(database):
    if database.url is None:
        body = "BEFORE UPDATE ON events BEGIN SELECT 1; END"
        execute(database, "DROP TRIGGER events_refuse_update", f"CREATE TRIGGER events_refuse_update {body}")
        told = ("the trigger events_refuse_update was changed",)
    else:
        body = "CREATE OR REPLACE FUNCTION patchmgr_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        execute(database, f"{body} $$ BEGIN RETURN NEW; END $$")
        told = tuple(f"the trigger events_refuse_{event} was changed" for event in ("change", "truncate"))
    with database.open() as registry:
        assert registry.check_database() == told


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_trigger_for_fewer_statements_is_told(database):
    body = "BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION patchmgr_refuse()"
    execute(
        database,
        "DROP TRIGGER events_refuse_change ON events",
        f"CREATE TRIGGER events_refuse_change {body}",
    )
    with database.open() as registry:
        assert registry.check_database() == ("the trigger events_refuse_change was changed",)


def test_a_trigger_that_is_not_ours_is_told(database):
    if database.url is None:
        execute(database, "CREATE TRIGGER spy AFTER INSERT ON models BEGIN DELETE FROM tags; END")
        told = "the trigger spy is none of patchmgr's"
    else:
        body = "AFTER DELETE ON models FOR EACH ROW EXECUTE FUNCTION patchmgr_refuse()"
        execute(
            database,
            f"CREATE TRIGGER spy {body}",
            "CREATE TABLE others (a int)",
            f"CREATE TRIGGER theirs {body.replace('models', 'others')}",
        )
        told = "the trigger spy on models is none of patchmgr's"
    with database.open() as registry:
        assert registry.check_database() == (told,)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_references_that_the_server_no_longer_checks_are_told(database):
    execute(database, "ALTER TABLE tags DISABLE TRIGGER ALL")
    with database.open() as registry:
        assert registry.check_database() == ("the references of table tags are not checked: they are switched off",)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_row_that_refers_to_nothing_is_told(registry, model):
    with registry._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM bases")
    assert set(registry.check_database()) == {
        "a row of models refers to a missing row of bases",
        "a row of tensors refers to a missing row of bases",
    }
