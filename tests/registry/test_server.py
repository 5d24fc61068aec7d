"""What only a database server can do to a registry, on a real PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine

from patchmgr.errors import BusyError, IntegrityError, StorageError
from patchmgr_registry import Origin, Registry

ORIGIN = Origin("ana", "worker", "0", ("patchmgr",))


@pytest.fixture
def url(new_postgresql, empty_postgresql):
    return new_postgresql(empty_postgresql)


@pytest.fixture
def execute(url):
    """Do something behind the program; the first value of what comes back."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")

    def run(statement: str):
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return result.scalar() if result.returns_rows else None

    yield run
    engine.dispose()


def write(registry: Registry) -> None:
    with registry.begin() as tx:
        tx.record_event(ORIGIN, "tag", objects=[])
        tx.commit()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_writer_sees_what_the_one_before_it_wrote_whatever_the_servers_isolation(url, execute, tmp_path, level):
    execute(f"ALTER DATABASE {execute('SELECT current_database()')} SET default_transaction_isolation = '{level}'")
    with Registry.open(tmp_path, url) as first, Registry.open(tmp_path, url) as second, ThreadPoolExecutor() as threads:
        with first.begin() as tx:
            waiting = threads.submit(write, second)
            while not execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                time.sleep(0.01)
            tx.record_event(ORIGIN, "tag", objects=[])
            tx.commit()
        waiting.result(60)
        assert first.event_head().sequence == 2
        assert first.verify_events() is None


def test_a_reader_keeps_the_writing_anew_waiting_no_longer_than_the_busy_timeout(url, execute, tmp_path):
    with Registry.open(tmp_path, url, busy_timeout_s=0.2) as registry:
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as reader:
            reader.exec_driver_sql("SELECT count(*) FROM edits")
            with pytest.raises(BusyError):
                registry.scrub()
        engine.dispose()
        before = execute("SELECT pg_relation_filenode('edits')")
        registry.scrub()
        assert execute("SELECT pg_relation_filenode('edits')") != before


@pytest.mark.parametrize(
    ("harm", "ask"),
    [
        ("ALTER TABLE models RENAME COLUMN created TO made", Registry.models),
        ("ALTER TABLE scores ALTER COLUMN state_root TYPE int USING 0", lambda registry: registry.scores_of_state("4")),
        ("DROP TABLE tags CASCADE", Registry.tagged),
    ],
    ids=["column", "type", "table"],
)
def test_tables_that_no_revision_made_are_told_as_damage(url, execute, tmp_path, harm, ask):
    with Registry.open(tmp_path, url) as registry:
        execute(harm)
        with pytest.raises(IntegrityError, match="is damaged") as caught:
            ask(registry)
    assert "\n" not in caught.value.message
    assert "pg_dump" not in str(caught.value.hint) and "patchmgr restore" not in str(caught.value.hint)


def test_what_cannot_be_restored_by_patchmgr_is_not_said_to_be(url, execute, tmp_path):
    execute("DELETE FROM alembic_version")
    with pytest.raises(IntegrityError, match="which revision") as caught:
        Registry.open(tmp_path, url)
    assert caught.value.hint == "restore a dump of the database, as docs/operators.md says"


def test_a_transaction_that_the_server_ends_is_told_in_words(url, execute, tmp_path):
    execute(f"ALTER DATABASE {execute('SELECT current_database()')} SET idle_in_transaction_session_timeout = 50")
    with Registry.open(tmp_path, url) as registry:
        with pytest.raises(StorageError, match="idle-in-transaction"), registry.begin() as tx:
            time.sleep(0.3)
            tx.record_event(ORIGIN, "tag", objects=[])
        write(registry)
        assert registry.event_head().sequence == 1
