"""Triggers, and with them the promises that a table definition cannot make.

Events are append-only: UPDATE and DELETE are refused on either database (and TRUNCATE on PostgreSQL). On SQLite the
full-text indices follow the tables of edits and versions; PostgreSQL indexes the column itself.

SQLite drops the triggers of a table that a revision rebuilds (Alembic's batch mode), so they are not part of the
revisions: :func:`install_triggers` puts them in place after every upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, inspect

EDITS_SEARCH = "edits_search"
"""The full-text table (SQLite) or index (PostgreSQL) over the words of edits."""

VERSIONS_SEARCH = "versions_search"
"""The same over the words of the messages of versions."""

APPEND_ONLY = "events are append-only"
"""What a refused statement is told."""


def _search(index: str, table: str) -> Mapping[str, str]:
    """The triggers that keep a full-text table in step with the table whose words it has."""
    added = f"INSERT INTO {index} (rowid, words) VALUES (new.id, new.words);"
    taken = f"INSERT INTO {index} ({index}, rowid, words) VALUES ('delete', old.id, old.words);"
    return {
        f"{index}_insert": f"CREATE TRIGGER {index}_insert AFTER INSERT ON {table} BEGIN {added} END",
        f"{index}_delete": f"CREATE TRIGGER {index}_delete AFTER DELETE ON {table} BEGIN {taken} END",
        f"{index}_update": f"CREATE TRIGGER {index}_update AFTER UPDATE OF words ON {table} BEGIN {taken} {added} END",
    }


_SQLITE = {
    "events_refuse_update": f"""
        CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    "events_refuse_delete": f"""
        CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    **_search(EDITS_SEARCH, "edits"),
    **_search(VERSIONS_SEARCH, "versions"),
}

REFUSE_BODY = f" BEGIN RAISE EXCEPTION '{APPEND_ONLY}'; END "
"""What the function does that the triggers on PostgreSQL call."""

_REFUSE = f"CREATE OR REPLACE FUNCTION patchmgr_refuse() RETURNS trigger LANGUAGE plpgsql AS $${REFUSE_BODY}$$"

_POSTGRESQL = {
    "events_refuse_change": """
        CREATE TRIGGER events_refuse_change BEFORE DELETE OR UPDATE ON events
        FOR EACH ROW EXECUTE FUNCTION patchmgr_refuse()""",
    "events_refuse_truncate": """
        CREATE TRIGGER events_refuse_truncate BEFORE TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION patchmgr_refuse()""",
}


def expected_triggers(dialect: str) -> Mapping[str, str]:
    """The triggers that a database of this dialect must have: name to definition, in the words of the database.

    ``patchmgr fsck`` compares both, and a new definition is put in place by upgrades only: it needs a new revision.
    """
    return {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[dialect]


def install_triggers(connection: Connection) -> None:
    """Put every trigger in place, replacing those of the same name; nothing on a database without tables."""
    if not inspect(connection).has_table("events"):
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_REFUSE)
    for name, definition in expected_triggers(connection.dialect.name).items():
        table = name.partition("_")[0]
        on_table = f" ON {table}" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{on_table}")
        connection.exec_driver_sql(definition)
