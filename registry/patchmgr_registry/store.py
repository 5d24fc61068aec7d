"""The registry: the one class that holds connections, and the only door to the database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from patchmgr.errors import PatchmgrError, UsageError
from patchmgr_registry.blobs import BlobStore, blob_store
from patchmgr_registry.decoding import decoding, unreadable
from patchmgr_registry.dialects import Dialect, dialect_of
from patchmgr_registry.reads import Reads
from patchmgr_registry.transaction import Transaction
from patchmgr_registry.upgrading import bring_up_to_date

if TYPE_CHECKING:
    from patchmgr_registry.copying import Copied, Step

DATABASE_FILE = "registry.db"
BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another one; transactions take milliseconds."""
_RAISED_IN = "_patchmgr_raised_in"
"""Attribute of what a driver raised: the engine. Two registries are open at once while one is copied into the other."""


class Registry(Reads):
    """A database and its blob store. It may be used from several threads, and by a process that forks."""

    def __init__(self, dialect: Dialect, engine: Engine, blobs: BlobStore) -> None:
        self.dialect = dialect
        self.blobs = blobs
        self._engine = engine
        event.listen(engine, "handle_error", self._note)
        self._pid = os.getpid()

    @classmethod
    def open(
        cls,
        home: Path,
        url: str | None = None,
        *,
        blobs: str | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Registry:
        """The registry in a folder, made when there is none and upgraded when it is older than this program.

        Args:
            home: holds the blobs, and the database unless ``url`` names another.
            url: a database for SQLAlchemy.
            blobs: where the blobs are kept instead, ``s3://BUCKET/PREFIX``.
            busy_timeout_s: how long to wait for another writer.

        Raises:
            UsageError: the URL cannot be read, or its kind of database or place of blobs is not supported.
            NewerRegistryError: a newer patchmgr made the database.
            IntegrityError: the database is damaged, or is not a registry.
            BusyError: another process holds it longer than the busy timeout.
            StorageError: it cannot be reached, read or written.
        """
        place = url or URL.create("sqlite", database=str(home / DATABASE_FILE))
        dialect = dialect_of(place, busy_timeout_s=busy_timeout_s)
        registry = cls(dialect, dialect.engine(), blob_store(home, blobs))
        try:
            with registry._connected() as connection:
                bring_up_to_date(connection, dialect)
        except BaseException:
            registry.close()
            raise
        return registry

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction, rolled back at the end of the block unless its ``commit()`` was called.

        Raises:
            BusyError: another writer did not come to an end within the busy timeout.
        """
        with self._connected() as connection, connection.begin():
            self.dialect.begin_writing(connection)
            transaction = Transaction(connection, self.dialect)
            try:
                yield transaction
            finally:
                transaction.end()

    def copy_into(self, target: Registry, *, step: Step = lambda done, total, what: None) -> Copied:
        """Copy every row into an empty registry: all of them, or, when anything goes wrong, none.

        The copy is read back and compared before it lasts. The blobs stay where they are.

        Raises:
            NotFoundError: there is nothing here.
            ConflictError: the target is not empty.
            BusyError: a model is being changed here, or somebody writes to the target.
            IntegrityError: this registry is broken, or the target did not keep what it was given.
        """
        with self._moment() as source, target.begin() as tx:
            copied = tx.take_in(source, self.dialect, step)
            tx.commit()
        return copied

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._moment() as connection, decoding(self.dialect):
            yield connection

    @contextmanager
    def _moment(self) -> Iterator[Connection]:
        """A transaction in which every statement sees the same moment."""
        with self._connected() as connection, connection.begin():
            self.dialect.begin_reading(connection)
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection, its driver's errors turned into ours where a user can act on them."""
        if self._pid != os.getpid():  # a connection must not be shared with the parent of a fork
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        try:
            with self._connect() as connection:
                yield connection
        except (DBAPIError, UnicodeDecodeError, OverflowError) as error:
            fault = self._fault(error)
            if fault is None:
                raise
            raise fault from error

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except (UnicodeDecodeError, OverflowError) as error:  # the driver's own: no statement ran that could note it
            setattr(error, _RAISED_IN, self._engine)
            raise

    def _note(self, context: ExceptionContext) -> None:
        setattr(context.original_exception, _RAISED_IN, self._engine)

    def _fault(self, error: DBAPIError | UnicodeDecodeError | OverflowError) -> PatchmgrError | None:
        """The failure that a user can act on; None when it is a bug, or came from elsewhere through the block."""
        if isinstance(error, DBAPIError):
            return self.dialect.fault(error) if getattr(error.orig, _RAISED_IN, self._engine) is self._engine else None
        if getattr(error, _RAISED_IN, None) is not self._engine:  # of the caller's own code
            return None
        if isinstance(error, OverflowError):
            return UsageError("a number is larger than the registry can hold", hint="mend the call")
        return unreadable(self.dialect, error)

    def copy_database(self, target: Path) -> None:
        """Copy the database, as one moment sees it, into a new file; others may write meanwhile.

        Raises:
            UsageError: it is on a server, whose own tools copy it.
            StorageError: there is no room for the copy.
        """
        self.dialect.copy_to(target)

    def scrub(self) -> None:
        """Write the database anew, so that what was erased is in no byte of its files.

        Raises:
            BusyError: another process reads or writes it longer than the busy timeout; nothing is lost by that.
            StorageError: this user may not; what was erased stays in the files.
        """
        with self._connected() as connection:
            self.dialect.scrub(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
