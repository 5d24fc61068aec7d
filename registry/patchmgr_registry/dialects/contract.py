"""What the registry asks of a database, wherever databases differ.

Everything else in the package is the same SQL on each of them. A new database is a new sibling of this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import URL, ColumnElement, Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from patchmgr.errors import PatchmgrError

_SECRET_OPTIONS = ("password", "passfile", "sslpassword")
"""What a URL may say behind its ``?`` and nobody else should read."""


class Dialect(ABC):
    """The differences of one kind of database."""

    def __init__(self, url: URL, *, busy_timeout_s: float) -> None:
        self.url = url
        self.busy_timeout_s = busy_timeout_s

    @property
    def place(self) -> str:
        """Where the database is, for messages; never with a password."""
        return shown(self.url)

    @property
    @abstractmethod
    def restoring(self) -> str:
        """What brings a damaged database back: the next step in the hint of an error."""

    @abstractmethod
    def is_there(self) -> bool:
        """Whether the database exists, as far as that can be told without connecting to it or making it."""

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
        """What the database itself finds wrong with what it holds, and with its triggers; a line each."""

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
            BusyError: somebody uses it meanwhile, for longer than the busy timeout.
            StorageError: this user may not; what was deleted stays in the files.
        """

    @abstractmethod
    def matches(self, words: Sequence[str], table: Table) -> ColumnElement[bool]:
        """The condition that a row's column ``words`` holds every one of these, or one that begins with it."""

    @abstractmethod
    def fault(self, error: DBAPIError) -> PatchmgrError | None:
        """The failure that a user can act on behind a driver's error; None when it is a bug."""


def shown(url: URL) -> str:
    """A URL for messages: no password, wherever in it one stands."""
    return url.difference_update_query(_SECRET_OPTIONS).render_as_string(hide_password=True)


def told(error: BaseException | None) -> str:
    """What a driver says, in one line that does nothing to a terminal: it may quote what a damaged database holds."""
    line = " ".join(str(error).split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def compare_triggers(expected: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with triggers, by name and definition, a line each: missing, changed, or not ours."""
    wanted, has = ({name: " ".join(text.split()) for name, text in each.items()} for each in (expected, found))
    changed = [name for name in wanted if name in has and has[name] != wanted[name]]
    return (
        *(f"the trigger {name} is missing" for name in wanted if name not in has),
        *(f"the trigger {name} was changed" for name in changed),
        *(f"the trigger {name} is none of patchmgr's" for name in sorted(has) if name not in wanted),
    )
