"""The one place that knows how databases differ: :func:`dialect_of` picks the sibling for a URL."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from patchmgr.errors import UsageError
from patchmgr_registry.dialects.contract import Dialect

__all__ = ["Dialect", "dialect_of"]


def dialect_of(url: str | URL, *, busy_timeout_s: float) -> Dialect:
    """The dialect for a database URL.

    Raises:
        UsageError: the URL cannot be read, or names a kind of database that is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError("the database URL cannot be read", hint="write sqlite:///FILE or postgresql://…") from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        from patchmgr_registry.dialects.sqlite import SQLiteDialect

        return SQLiteDialect(parsed, busy_timeout_s=busy_timeout_s)
    if kind in ("postgresql", "postgres"):
        from patchmgr_registry.dialects.postgresql import PostgreSQLDialect

        return PostgreSQLDialect(parsed, busy_timeout_s=busy_timeout_s)
    raise UsageError(
        f"a registry cannot be kept in {parsed.render_as_string(hide_password=True)}",
        hint="write sqlite:///FILE or postgresql://…",
    )
