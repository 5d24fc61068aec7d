"""PostgreSQL: one writer at a time by an advisory lock, so that numbers and the chain of events have no gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, Table, create_engine, func, literal_column, select
from sqlalchemy.exc import DBAPIError, OperationalError

from patchmgr.errors import BusyError, IntegrityError, PatchmgrError, StorageError, UsageError
from patchmgr_migrations.triggers import expected_triggers
from patchmgr_registry.dialects.contract import Dialect
from patchmgr_registry.schema import ONE_PENDING, pending_index

pending_index.dialect_options["postgresql"]["where"] = ONE_PENDING

_WRITERS_LOCK = 0x70617463686D6772
"""The advisory lock's key: ``patchmgr`` in ASCII."""

_BUSY = frozenset({"55P03", "40001", "40P01"})  # lock not available, serialisation failure, deadlock
_DAMAGED_CLASS = "XX"
_STORAGE_CLASSES = ("08", "28", "3D", "53", "57", "58")  # connection, login, no such database, resources, shutdown, I/O
_READ_ONLY = "25006"
_NOT_ALLOWED = "42501"


class PostgreSQLDialect(Dialect):
    """A database on a server, through psycopg 3."""

    def engine(self) -> Engine:
        """See :meth:`Dialect.engine`."""
        url = self.url
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        try:
            return create_engine(url, pool_size=1, pool_pre_ping=False)
        except ModuleNotFoundError as error:
            raise StorageError(
                f"cannot use the registry {self.place}: {error.name} is not installed",
                hint="pip install 'patchmgr[postgresql]'",
            ) from error

    def begin_reading(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_reading`."""
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def begin_writing(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_writing`."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(self.busy_timeout_s * 1000)}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")

    def begin_migrating(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_migrating`."""
        self.begin_writing(connection)

    def finish_migrating(self, connection: Connection) -> None:
        """The server checks by itself."""

    def check(self, connection: Connection) -> tuple[str, ...]:
        """The server keeps its pages and references by itself; only triggers can be missing."""
        found = connection.exec_driver_sql(
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE relnamespace = current_schema()::regnamespace AND tgenabled <> 'D'"
        )
        names = found.scalars().all()
        return tuple(f"the trigger {name} is missing" for name in expected_triggers("postgresql") if name not in names)

    def continue_numbers(self, connection: Connection, tables: Sequence[Table]) -> None:
        """See :meth:`Dialect.continue_numbers`."""
        for table in tables:
            own = table.autoincrement_column
            if own is not None:
                sequence = func.pg_get_serial_sequence(table.name, own.name)
                following = func.coalesce(func.max(own), 0) + 1
                connection.execute(select(func.setval(sequence, following, False)).select_from(table))

    def has_table(self, connection: Connection, name: str) -> bool:
        """See :meth:`Dialect.has_table`."""
        found = connection.exec_driver_sql(
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = %s", (name,)
        )
        return found.first() is not None

    def is_empty(self, connection: Connection) -> bool:
        """See :meth:`Dialect.is_empty`."""
        found = connection.exec_driver_sql("SELECT 1 FROM pg_tables WHERE schemaname = current_schema() LIMIT 1")
        return found.first() is None

    def back_up(self, label: str) -> Path | None:
        """No copy: a server's backups are its operator's."""
        return None

    def copy_to(self, target: Path) -> None:
        """See :meth:`Dialect.copy_to`."""
        raise UsageError(
            f"the registry {self.place} is on a server",
            hint="copy it by `pg_dump` and after it the blobs, as docs/operators.md says",
        )

    def begin_erasing(self, connection: Connection) -> None:
        """Nothing: see :meth:`scrub`."""

    def rebuild_search(self, connection: Connection) -> None:
        """Nothing: its indices are written anew with their tables."""

    def scrub(self, connection: Connection) -> None:
        """The tables that hold words are written anew; the server's own log and its backups are its operator's."""
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("edits", "files", "scores", "signatures", "tags", "versions"):
            plain.exec_driver_sql(f"VACUUM (FULL) {table}")

    def matches(self, words: Sequence[str], table: Table) -> ColumnElement[bool]:
        """See :meth:`Dialect.matches`."""
        simple: ColumnElement[str] = literal_column("'simple'")
        query = func.to_tsquery(simple, " & ".join(f"'{word}':*" for word in words))
        return func.to_tsvector(simple, table.c.words).bool_op("@@")(query)

    def fault(self, error: DBAPIError) -> PatchmgrError | None:
        """See :meth:`Dialect.fault`."""
        if error.orig is None or not hasattr(error.orig, "sqlstate"):  # of another database, which a copy is read from
            return None
        state: str | None = error.orig.sqlstate
        if state in _BUSY:
            return BusyError(f"another process is writing to the registry {self.place}", hint="try again in a moment")
        if state is not None and state.startswith(_DAMAGED_CLASS):
            return IntegrityError(f"the registry {self.place} is damaged: {error.orig}", hint="restore a backup of it")
        unreachable = state is None and isinstance(error, OperationalError)
        if unreachable or (
            state is not None and (state in (_READ_ONLY, _NOT_ALLOWED) or state[:2] in _STORAGE_CLASSES)
        ):
            return StorageError(
                f"cannot use the registry {self.place}: {error.orig}",
                hint="see that the server runs and lets this user write",
            )
        return None
