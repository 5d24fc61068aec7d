"""The one place that knows how databases differ: :func:`dialect_of` picks the sibling for a URL."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from patchmgr.errors import UsageError
from patchmgr_registry.dialects.contract import Dialect, shown

__all__ = ["Dialect", "dialect_of"]

_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
_OF_THE_DRIVER = frozenset({"autocommit", "conninfo", "context", "cursor_factory", "prepare_threshold", "row_factory"})
"""Arguments of psycopg's own, which would take transactions apart, or rows; a URL is for libpq's."""
_HINT = "write sqlite:///FILE or postgresql://…"


def dialect_of(url: str | URL, *, busy_timeout_s: float) -> Dialect:
    """The dialect for a database URL.

    Raises:
        UsageError: the URL cannot be read, or names a kind of database, or a driver, that is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        raise UsageError("the database URL cannot be read", hint=_HINT) from None
    if parsed.drivername in _SQLITE and parsed.host is None and parsed.database not in (None, "", ":memory:"):
        from patchmgr_registry.dialects.sqlite import SQLiteDialect

        if parsed.query:
            raise UsageError(
                f"the URL of a SQLite file takes no options: {shown(parsed)}", hint="leave out ? and after"
            )
        return SQLiteDialect(parsed, busy_timeout_s=busy_timeout_s)
    if parsed.drivername in _POSTGRESQL:
        from patchmgr_registry.dialects.postgresql import PostgreSQLDialect

        if refused := _OF_THE_DRIVER & parsed.query.keys():
            raise UsageError(f"a database URL takes no {min(refused)}: {shown(parsed)}", hint="leave it out")
        return PostgreSQLDialect(parsed, busy_timeout_s=busy_timeout_s)
    raise UsageError(f"a registry cannot be kept in {shown(parsed)}", hint=_HINT)
