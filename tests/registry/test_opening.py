"""Opening a registry: new, older, newer, damaged, foreign, locked, on a full disk, and without delay."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import patchmgr_migrations
from patchmgr.errors import BusyError, IntegrityError, StorageError, UsageError
from patchmgr_registry import NewerRegistryError, Registry
from patchmgr_registry.upgrading import bring_up_to_date

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _python(program: str, *words: object) -> str:
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True, text=True).stdout


def test_a_new_registry_is_made_with_its_folder(tmp_path):
    with Registry.open(tmp_path / "deep" / "home") as registry:
        assert registry.models() == ()
        assert registry.verify_events() is None
    assert (tmp_path / "deep" / "home" / "registry.db").is_file()


def test_a_home_with_odd_characters(tmp_path):
    home = tmp_path / "a?b#c %40 é"
    with Registry.open(home):
        assert (home / "registry.db").is_file()


def test_a_url_names_another_database(tmp_path):
    with Registry.open(tmp_path, f"sqlite:///{tmp_path}/elsewhere.db"):
        assert sorted(path.name for path in tmp_path.glob("*.db")) == ["elsewhere.db"]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://host/x.db",
        "sqlite:///x.db?timeout=abc",
        "sqlite+aiosqlite:///x.db",
        "mysql://u:secret@host/db",
        "mysql://u@host/db?password=secret",
        "no url",
        "oracle://",
        "postgresql://u@host:port/db",
        "postgresql+psycopg2://host/db",
        "postgresql+nosuch://host/db",
        "postgresql://127.0.0.1:1/db?nosuch=1&password=secret&sslpassword=secret",
        "postgresql://127.0.0.1:1/db?connect_timeout=soon",
        "postgresql:///db?port=soon",
        "postgresql://127.0.0.1:1/db?autocommit=1",
    ],
)
def test_other_databases_are_a_wrong_call(tmp_path, url):
    with pytest.raises(UsageError) as caught:
        Registry.open(tmp_path, url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u:secret@/db?", "postgresql:///db?password=secret&sslpassword=secret&"])
def test_a_server_that_does_not_answer_is_a_storage_error(tmp_path, url):
    with pytest.raises(StorageError) as caught:
        Registry.open(tmp_path, f"{url}host={tmp_path}")
    assert "postgresql:///db" in str(caught.value).replace("u:***@", "")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"pip install 'patchmgr\[postgresql\]'"):
        Registry.open(tmp_path, "postgresql://localhost/db")


def test_a_registry_from_a_newer_patchmgr_is_refused(database):
    with database.open() as registry, registry._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(NewerRegistryError) as caught:
        database.open()
    assert "revision 0999" in caught.value.message
    assert patchmgr_migrations.HEAD in caught.value.message
    assert caught.value.hint == "upgrade patchmgr"
    assert caught.value.exit_code == 1


def test_a_foreign_database_is_refused_and_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "registry.db")) as foreign:
        foreign.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(IntegrityError, match="no registry of patchmgr"):
        Registry.open(tmp_path)
    with closing(sqlite3.connect(tmp_path / "registry.db")) as foreign:
        assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_file_that_is_no_database_is_an_integrity_error(tmp_path):
    (tmp_path / "registry.db").write_bytes(b"not a database at all, only text" * 100)
    with pytest.raises(IntegrityError, match="damaged or no SQLite database"):
        Registry.open(tmp_path)


def test_a_damaged_page_is_an_integrity_error(sqlite_home):
    file = sqlite_home / "registry.db"
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"), Registry.open(sqlite_home) as registry:
        registry.models()


def test_a_locked_database_is_busy(sqlite_home):
    other = sqlite3.connect(sqlite_home / "registry.db", isolation_level=None)
    with closing(other), Registry.open(sqlite_home, busy_timeout_s=0.05) as registry:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError), registry.begin():
            pass
        other.execute("ROLLBACK")
        with registry.begin() as tx:
            tx.commit()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot make the folder"):
        Registry.open(tmp_path / "file" / "home")


def test_a_folder_in_the_files_place_is_a_storage_error(tmp_path):
    (tmp_path / "registry.db").mkdir()
    with pytest.raises(StorageError):
        Registry.open(tmp_path)


FULL_DISK = """
import resource, sys
from pathlib import Path
from patchmgr.errors import StorageError
from patchmgr_registry import EventObject, Origin, Registry
registry = Registry.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    for _ in range(100):
        with registry.begin() as tx:
            tx.record_event(Origin.current("0", ["x" * 20_000]), "edit", objects=[])
            tx.commit()
except StorageError as error:
    print(error.message)
print(registry.verify_events())
"""


def test_a_full_disk_is_a_storage_error_and_the_registry_stays_whole(sqlite_home):
    said = _python(FULL_DISK, sqlite_home).splitlines()
    assert said[0].startswith(f"cannot use the registry {sqlite_home}/registry.db: ")
    assert said[1] == "None"
    with Registry.open(sqlite_home) as registry:
        assert registry.verify_events() is None
        assert registry.event_head().sequence > 0


WRITE_WITHOUT_END = """
import itertools, sys
from pathlib import Path
from patchmgr_registry import Origin, Registry
registry = Registry.open(Path(sys.argv[1]))
for number in itertools.count():
    registry.blobs.put_bytes(f"{sys.argv[2]} {number}".encode() * 50_000)
    with registry.begin() as tx:
        tx.record_event(Origin.current("0", ["write"]), "edit", objects=[])
        tx.commit()
    print("wrote", flush=True)
"""


def test_a_killed_writer_leaves_a_whole_registry(sqlite_home):
    for attempt in range(3):
        command = [sys.executable, "-c", WRITE_WITHOUT_END, str(sqlite_home), str(attempt)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(1 + attempt):
                writer.stdout.readline()
            writer.kill()
        with Registry.open(sqlite_home) as registry:
            assert registry.verify_events() is None
            assert registry.event_head().sequence >= 1 + attempt
            for blob in registry.blobs:
                registry.blobs.open_verified(blob)


def test_a_bug_keeps_its_traceback(registry):
    with pytest.raises(Exception, match="no_such_table"), registry.begin() as tx:
        tx._connection.exec_driver_sql("SELECT * FROM no_such_table")


def test_statements_that_are_no_users_fault_are_not_disguised(sqlite_home):
    with Registry.open(sqlite_home) as registry, pytest.raises(OperationalError), registry.begin() as tx:
        tx._connection.exec_driver_sql("SELEKT")


def _open(home, url, gate, failures) -> None:
    gate.wait()
    try:
        for _ in range(3):
            Registry.open(home, url).close()
    except Exception as error:
        failures.put(repr(error))
        raise


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_processes_make_one_registry(request, tmp_path, kind):
    url = request.getfixturevalue("new_postgresql")() if kind == "postgresql" else None
    context = multiprocessing.get_context("fork")
    gate, failures = context.Barrier(4), context.Queue()
    openers = [context.Process(target=_open, args=(tmp_path, url, gate, failures)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(60)
    assert [opener.exitcode for opener in openers] == [0] * 4, failures.get()
    with Registry.open(tmp_path, url) as registry:
        assert registry.event_head().sequence == 0


STATUS = """
import sys
from pathlib import Path
import patchmgr_registry
with patchmgr_registry.Registry.open(Path(sys.argv[1])) as registry:
    for model in registry.models():
        registry.generation(model.name)
    registry.packages(), registry.events(limit=3)
print([name for name in ("sqlalchemy.orm", "alembic", "pydantic", "torch") if name in sys.modules])
"""


def test_reading_a_registry_imports_neither_orm_nor_alembic_nor_pydantic(sqlite_home):
    assert _python(STATUS, sqlite_home) == "[]\n"


def test_opening_an_up_to_date_registry_asks_two_questions(sqlite_home):
    with Registry.open(sqlite_home) as registry:
        asked: list[str] = []
        event.listen(registry._engine, "before_cursor_execute", lambda *call: asked.append(call[2].split()[0]))
        with registry._connected() as connection:
            bring_up_to_date(connection, registry.dialect)
    assert asked == ["BEGIN", "SELECT", "SELECT"]


def test_durability_and_keys_are_on(sqlite_home):
    with Registry.open(sqlite_home) as registry, registry._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
