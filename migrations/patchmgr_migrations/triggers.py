"""Triggers, and with them the promises that a table definition cannot make.

Events are append-only: UPDATE and DELETE are refused on either database (and TRUNCATE on PostgreSQL). On SQLite the
full-text index follows the table of edits; PostgreSQL indexes the column itself.

SQLite drops the triggers of a table that a revision rebuilds (Alembic's batch mode), so they are not part of the
revisions: :func:`install_triggers` puts them in place after every upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, inspect

EDITS_SEARCH = "edits_search"
"""The full-text table (SQLite) or index (PostgreSQL) over the words of edits."""

APPEND_ONLY = "events are append-only"
"""What a refused statement is told."""

_SQLITE = {
    "events_refuse_update": f"""
        CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    "events_refuse_delete": f"""
        CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    "edits_search_insert": f"""
        CREATE TRIGGER edits_search_insert AFTER INSERT ON edits
        BEGIN INSERT INTO {EDITS_SEARCH} (rowid, words) VALUES (new.id, new.words); END""",
    "edits_search_delete": f"""
        CREATE TRIGGER edits_search_delete AFTER DELETE ON edits
        BEGIN INSERT INTO {EDITS_SEARCH} ({EDITS_SEARCH}, rowid, words) VALUES ('delete', old.id, old.words); END""",
    "edits_search_update": f"""
        CREATE TRIGGER edits_search_update AFTER UPDATE OF words ON edits
        BEGIN
            INSERT INTO {EDITS_SEARCH} ({EDITS_SEARCH}, rowid, words) VALUES ('delete', old.id, old.words);
            INSERT INTO {EDITS_SEARCH} (rowid, words) VALUES (new.id, new.words);
        END""",
}

_REFUSE = f"""
    CREATE OR REPLACE FUNCTION patchmgr_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{APPEND_ONLY}'; END $$"""

_POSTGRESQL = {
    "events_refuse_change": """
        CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE ON events
        FOR EACH ROW EXECUTE FUNCTION patchmgr_refuse()""",
    "events_refuse_truncate": """
        CREATE TRIGGER events_refuse_truncate BEFORE TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION patchmgr_refuse()""",
}


def expected_triggers(dialect: str) -> Mapping[str, str]:
    """The triggers that a database of this dialect must have: name to definition."""
    return {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[dialect]


def install_triggers(connection: Connection) -> None:
    """Put every trigger in place, replacing those of the same name; nothing on a database without tables."""
    if not inspect(connection).has_table("events"):
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_REFUSE)
    for name, definition in expected_triggers(connection.dialect.name).items():
        table = "events" if name.startswith("events_") else "edits"
        on_table = f" ON {table}" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{on_table}")
        connection.exec_driver_sql(definition)
