"""PostgreSQL: one writer at a time by an advisory lock, so that numbers and the chain of events have no gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, Table, create_engine, func, literal_column, select
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError

from patchmgr.errors import BusyError, IntegrityError, PatchmgrError, StorageError, UsageError
from patchmgr_migrations.triggers import REFUSE_BODY, expected_triggers
from patchmgr_registry.dialects.contract import Dialect, compare_triggers, told
from patchmgr_registry.schema import ONE_PENDING, metadata, pending_index

pending_index.dialect_options["postgresql"]["where"] = ONE_PENDING

_WRITERS_LOCK = 0x70617463686D6772
"""The advisory lock's key: ``patchmgr`` in ASCII."""

_BUSY = frozenset({"55P03", "40001", "40P01"})  # lock not available, serialisation failure, deadlock
_DAMAGED_CLASS = "XX"
_OTHER_TABLES = frozenset({"42P01", "42P07", "42703", "42704", "42804", "42809", "42883"})
"""No such table, one too many, no such column, object, type, kind of relation, function. Our statements are the same on
every registry, so the database is not what its revision made."""
_STORAGE_CLASSES = ("08", "28", "3D", "3F", "53", "57", "58")
"""Connection, login, no such database, no such schema, resources, shutdown, I/O."""
_STORAGE = frozenset({"25006", "25P03", "25P04", "42501"})  # read-only, ended while idle or late, not allowed
_WITH_WORDS = ("edits", "files", "scores", "signatures", "tags", "versions")
"""The tables of which rows are erased."""

_TRIGGERS = """
SELECT relname, tgname, tgenabled, tgisinternal, pg_get_triggerdef(pg_trigger.oid, true) AS definition, prosrc
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE relnamespace = current_schema()::regnamespace ORDER BY relname, tgname"""


class PostgreSQLDialect(Dialect):
    """A database on a server, through psycopg 3."""

    @property
    def restoring(self) -> str:
        """See :attr:`Dialect.restoring`."""
        return "restore a dump of the database, as docs/operators.md says"

    def is_there(self) -> bool:
        """The server says so on connecting."""
        return True

    def engine(self) -> Engine:
        """See :meth:`Dialect.engine`."""
        url = self.url
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        try:
            return create_engine(url, pool_size=1, pool_pre_ping=False)
        except ArgumentError as error:
            raise UsageError(f"cannot use the database URL {self.place}: {told(error)}", hint="mend the URL") from None
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
        # stricter levels see the moment of the first statement: that before the lock was given, without its last holder
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {self._busy_timeout_ms}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")

    def begin_migrating(self, connection: Connection) -> None:
        """See :meth:`Dialect.begin_migrating`."""
        self.begin_writing(connection)

    def finish_migrating(self, connection: Connection) -> None:
        """The server checks by itself."""

    def check(self, connection: Connection) -> tuple[str, ...]:
        """The server keeps its pages and references by itself; only triggers can be wrong, its own switched off too."""
        expected = expected_triggers("postgresql")
        unchecked, found = set(), {}
        for row in connection.exec_driver_sql(_TRIGGERS).all():
            works = row.tgenabled in ("O", "A")  # at any statement of ours; else never, or on a replica only
            if row.relname in metadata.tables and not row.tgisinternal and works:
                ours = row.tgname in expected and row.relname == "events"
                found[row.tgname if ours else f"{row.tgname} on {row.relname}"] = f"{row.definition} {row.prosrc}"
            elif row.relname in metadata.tables and not works and row.tgisinternal:
                unchecked.add(row.relname)
        return (
            *(f"the references of table {table} are not checked: they are switched off" for table in sorted(unchecked)),
            *compare_triggers({name: f"{text} {REFUSE_BODY}" for name, text in expected.items()}, found),
        )

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
        """The tables that hold words are written anew; the server's own log and its backups are its operator's.

        A table of another role's is passed over with no more than a warning, so it is looked whether its file is new.
        """
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        passed_over = []
        try:
            plain.exec_driver_sql(f"SET lock_timeout = {self._busy_timeout_ms}")
            for table in _WITH_WORDS:
                before = _file_of(plain, table)
                plain.exec_driver_sql(f"VACUUM (FULL) {table}")
                if _file_of(plain, table) == before:
                    passed_over.append(table)
        finally:
            plain.invalidate()  # and with it the setting
        if passed_over:
            raise StorageError(
                f"erased, but not scrubbed: in {self.place} the files of {', '.join(passed_over)} still hold it, "
                "and only a table's owner may write it anew",
                hint="let the role that owns the tables run the same command again",
            )

    def matches(self, words: Sequence[str], table: Table) -> ColumnElement[bool]:
        """See :meth:`Dialect.matches`."""
        simple: ColumnElement[str] = literal_column("'simple'")
        query = func.to_tsquery(simple, " & ".join(f"'{word}':*" for word in words))
        return func.to_tsvector(simple, table.c.words).bool_op("@@")(query)

    def fault(self, error: DBAPIError) -> PatchmgrError | None:
        """See :meth:`Dialect.fault`."""
        state: str | None = getattr(error.orig, "sqlstate", None)
        if state in _BUSY:
            return BusyError(f"another process is writing to the registry {self.place}", hint="try again in a moment")
        if state is not None and (state.startswith(_DAMAGED_CLASS) or state in _OTHER_TABLES):
            return IntegrityError(f"the registry {self.place} is damaged: {told(error.orig)}", hint=self.restoring)
        if state is None and isinstance(error, ProgrammingError) and error.statement is None:  # on connecting
            return UsageError(f"cannot use the database URL {self.place}: {told(error.orig)}", hint="mend the URL")
        unreachable = state is None and isinstance(error, OperationalError)
        if unreachable or (state is not None and (state in _STORAGE or state[:2] in _STORAGE_CLASSES)):
            return StorageError(
                f"cannot use the registry {self.place}: {told(error.orig)}",
                hint="see that the server runs and lets this user write",
            )
        return None

    @property
    def _busy_timeout_ms(self) -> int:
        return max(1, int(self.busy_timeout_s * 1000))  # 0 would be no limit


def _file_of(connection: Connection, table: str) -> int:
    """The number of the file that holds a table's rows."""
    number: int = connection.exec_driver_sql(f"SELECT pg_relation_filenode('{table}')").scalar_one()
    return number
