"""What the registry asks of a database, wherever databases differ.

Everything else in the package is the same SQL on each of them. A new database is a new sibling of this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL, ColumnElement, Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from patchmgr.errors import PatchmgrError


class Dialect(ABC):
    """The differences of one kind of database."""

    def __init__(self, url: URL, *, busy_timeout_s: float) -> None:
        self.url = url
        self.busy_timeout_s = busy_timeout_s

    @property
    def place(self) -> str:
        """Where the database is, for messages; never with a password."""
        return self.url.render_as_string(hide_password=True)

    @abstractmethod
    def engine(self) -> Engine:
        """An engine for the URL, its connections set up. Connects to nothing yet.

        Raises:
            StorageError: the place of the database cannot be made, or its driver is not installed.
        """

    @abstractmethod
    def begin_reading(self, connection: Connection) -> None:
        """Begin a transaction in which every statement sees the same moment."""

    @abstractmethod
    def begin_writing(self, connection: Connection) -> None:
        """Begin a transaction that no other writer runs beside; waits for its turn as long as the busy timeout."""

    @abstractmethod
    def begin_migrating(self, connection: Connection) -> None:
        """Begin a writing transaction in which tables may be rebuilt."""

    @abstractmethod
    def finish_migrating(self, connection: Connection) -> None:
        """Check that rebuilt tables still refer to each other rightly; the caller commits.

        Raises:
            IntegrityError: a row refers to one that does not exist.
        """

    @abstractmethod
    def check(self, connection: Connection) -> tuple[str, ...]:
        """What the database itself finds wrong with what it holds, and the triggers that it lacks; a line each."""

    @abstractmethod
    def continue_numbers(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Let the next rows get numbers behind those of the rows that were put in with theirs."""

    @abstractmethod
    def has_table(self, connection: Connection, name: str) -> bool:
        """Whether the database has this table."""

    @abstractmethod
    def is_empty(self, connection: Connection) -> bool:
        """Whether the database has no table at all."""

    @abstractmethod
    def back_up(self, label: str) -> Path | None:
        """Copy the database beside itself under a name that holds ``label``; None where operators do that.

        Raises:
            StorageError: there is no room for the copy.
        """

    @abstractmethod
    def copy_to(self, target: Path) -> None:
        """Copy the database, as one moment sees it, into a new SQLite file.

        Raises:
            UsageError: a server's own tools do that; says which.
            StorageError: there is no room for the copy.
        """

    @abstractmethod
    def begin_erasing(self, connection: Connection) -> None:
        """Overwrite, from now on, what this connection deletes, where the database can."""

    @abstractmethod
    def rebuild_search(self, connection: Connection) -> None:
        """Make the full-text indices anew from the rows there are, so that no word of others stays in them."""

    @abstractmethod
    def scrub(self, connection: Connection) -> None:
        """Write the database's files anew without what was deleted.

        Raises:
            BusyError: somebody uses it meanwhile.
        """

    @abstractmethod
    def matches(self, words: Sequence[str], table: Table) -> ColumnElement[bool]:
        """The condition that a row's column ``words`` holds every one of these, or one that begins with it."""

    @abstractmethod
    def fault(self, error: DBAPIError) -> PatchmgrError | None:
        """The failure that a user can act on behind a driver's error; None when it is a bug."""
