"""SQLite: one file, readable while it is written (WAL), one writer at a time (``BEGIN IMMEDIATE``)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, column, create_engine, event, literal_column, select
from sqlalchemy import table as lightweight_table
from sqlalchemy.exc import DBAPIError

from patchmgr.errors import BusyError, IntegrityError, PatchmgrError, StorageError
from patchmgr_migrations.triggers import EDITS_SEARCH, VERSIONS_SEARCH, expected_triggers
from patchmgr_registry.clock import timestamp
from patchmgr_registry.dialects.contract import Dialect, compare_triggers, told

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_INTERNAL,
    }
)
_STATEMENT = ("near ", "unrecognized token", "too many ", "Expression tree", "fts5: ")
"""How SQLite begins to say that a statement is wrong. Ours are the same on every registry, and tried on each released
schema. So whatever else is a mere SQLITE_ERROR says that this database is not what its revision made."""
_ODD = ("Could not decode to UTF-8", "constraint failed: events")
"""That it holds what was never written; without a code of its own."""
_STORAGE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOLFS,
    }
)
_PRIMARY_CODE = 0xFF


class SQLiteDialect(Dialect):
    """A database file."""

    @property
    def file(self) -> Path:
        """The database file."""
        return Path(self.url.database or "")

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self.file)

    @property
    def restoring(self) -> str:
        """See :attr:`Dialect.restoring`."""
        return "`patchmgr restore` a backup, or bring back a copy of it such as registry.db.before-… beside it"

    def is_there(self) -> bool:
        """See :meth:`Dialect.is_there`."""
        return self.file.is_file()

    def engine(self) -> Engine:
        """See :meth:`Dialect.engine`."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make the folder {self.file.parent}: {error.strerror}",
                hint="set PATCHMGR_HOME to another place",
            ) from error
        engine = create_engine(self.url, connect_args={"timeout": self.busy_timeout_s})
        event.listen(engine, "connect", self._set_up)
        return engine

    def _set_up(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the registry says BEGIN itself; the driver's guesses would not lock
        self._write_ahead(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL: with NORMAL a power cut may take back the last transactions, and with them events that were told of.
        connection.execute("PRAGMA synchronous = FULL")

    def _write_ahead(self, connection: Any) -> None:
        """Switch to WAL, which SQLite refuses at once, without waiting, while another process does the same."""
        give_up = time.monotonic() + self.busy_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY_CODE not in _BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def begin_reading(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_reading`."""
        connection.exec_driver_sql("BEGIN")

    def begin_writing(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_writing`."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def begin_migrating(self, connection: Connection) -> None:
        """Foreign keys rest meanwhile: dropping the old form of a table would delete the rows that refer to it."""
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def finish_migrating(self, connection: Connection) -> None:
        """See :meth:`Dialect.finish_migrating`."""
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise IntegrityError(
                f"the registry {self.place} holds a row of {broken[0]} that refers to a missing row of {broken[2]}",
                hint="nothing was changed; restore a backup, or report it with patchmgr fsck's output",
            )

    def check(self, connection: Connection) -> tuple[str, ...]:
        """See :meth:`Dialect.check`."""
        damage = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        triggers = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        return (
            *(str(line) for line in damage if line != "ok"),
            *(f"a row of {row[0]} refers to a missing row of {row[2]}" for row in lost),
            *compare_triggers(expected_triggers("sqlite"), {row.name: row.sql for row in triggers}),
        )

    def continue_numbers(self, connection: Connection, tables: Sequence[Table]) -> None:
        """SQLite looks at the highest number each time."""

    def has_table(self, connection: Connection, name: str) -> bool:
        """See :meth:`Dialect.has_table`."""
        found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        return found.first() is not None

    def is_empty(self, connection: Connection) -> bool:
        """See :meth:`Dialect.is_empty`."""
        return connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first() is None

    def back_up(self, label: str) -> Path | None:
        """Copy by SQLite's backup interface, which takes in what still lies in the write-ahead log."""
        moment = timestamp().replace("-", "").replace(":", "").partition(".")[0]
        copy = self.file.with_name(f"{self.file.name}.{label}-{moment}Z")
        self.copy_to(copy)
        return copy

    def copy_to(self, target: Path) -> None:
        """See :meth:`Dialect.copy_to`."""
        unfinished = target.with_name(f"{target.name}.part")
        try:
            with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, with no log beside it
            unfinished.replace(target)
        except (sqlite3.Error, OSError) as error:
            unfinished.unlink(missing_ok=True)
            raise StorageError(
                f"cannot copy the registry to {target}: {error}",
                hint="free space or mend the permissions; nothing was changed",
            ) from error

    def begin_erasing(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_erasing`."""
        connection.exec_driver_sql("PRAGMA secure_delete = ON")

    def rebuild_search(self, connection: Connection) -> None:
        """FTS5 only notes what was deleted, and keeps its words until segments are merged."""
        for index in (EDITS_SEARCH, VERSIONS_SEARCH):
            connection.exec_driver_sql(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")

    def scrub(self, connection: Connection) -> None:
        """Old pages lie in the free list, in the slack of pages, and in the log until it is cut off."""
        connection.exec_driver_sql("VACUUM")
        is_busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if is_busy:
            raise BusyError(
                f"another process reads the registry {self.place}, so its log could not be cut off",
                hint="end that process, and run the command again",
            )

    def matches(self, words: Sequence[str], table: Table) -> ColumnElement[bool]:
        """See :meth:`Dialect.matches`."""
        query = " ".join(f'"{word}"*' for word in words)
        index = {"edits": EDITS_SEARCH, "versions": VERSIONS_SEARCH}[table.name]
        found = lightweight_table(index, column("rowid"))
        return table.c.id.in_(select(found.c.rowid).where(literal_column(index).op("MATCH")(query)))

    def fault(self, error: DBAPIError) -> PatchmgrError | None:
        """See :meth:`Dialect.fault`."""
        code = getattr(error.orig, "sqlite_errorcode", 0) & _PRIMARY_CODE
        if code in _BUSY:
            return BusyError(f"another process is writing to the registry {self.place}", hint="try again in a moment")
        said = str(error.orig)
        strange = code == sqlite3.SQLITE_ERROR and not said.startswith(_STATEMENT)
        if code in _DAMAGED or strange or any(words in said for words in _ODD):
            return IntegrityError(
                f"the registry {self.place} is damaged or no SQLite database: {told(error.orig)}", hint=self.restoring
            )
        if code in _STORAGE:
            return StorageError(
                f"cannot use the registry {self.place}: {told(error.orig)}", hint="free space or mend the permissions"
            )
        return None
