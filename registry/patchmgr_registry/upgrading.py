"""Opening a database of any age: made when it is empty, upgraded when older, refused when newer or foreign."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

import patchmgr_migrations
from patchmgr.errors import IntegrityError
from patchmgr_registry.dialects import Dialect
from patchmgr_registry.errors import NewerRegistryError

_log = logging.getLogger(__name__)


def bring_up_to_date(connection: Connection, dialect: Dialect) -> None:
    """Bring a database to the revision that this program works with; two queries when it is there already.

    Raises:
        NewerRegistryError: its revision is not one that this program knows.
        IntegrityError: it holds tables but is no registry.
    """
    with connection.begin():
        dialect.begin_reading(connection)
        if _revision(connection, dialect) == patchmgr_migrations.HEAD:
            return
    with connection.begin():
        dialect.begin_migrating(connection)
        before = _revision(connection, dialect)  # another process may have upgraded it meanwhile
        if before != patchmgr_migrations.HEAD:
            _upgrade(connection, dialect, before)
    connection.invalidate()  # the next one is set up afresh, with its foreign keys on


def _upgrade(connection: Connection, dialect: Dialect, before: str | None) -> None:
    head = patchmgr_migrations.HEAD
    if before is not None:
        copy = dialect.back_up(f"before-{head}")
        _log.info("upgrading the registry %s from %s to %s, copied to %s", dialect.place, before, head, copy)
    patchmgr_migrations.upgrade(connection, head)
    dialect.finish_migrating(connection)


def _revision(connection: Connection, dialect: Dialect) -> str | None:
    """The revision of a database, None when it is empty."""
    if not dialect.has_table(connection, patchmgr_migrations.VERSION_TABLE):
        if dialect.is_empty(connection):
            return None
        raise IntegrityError(f"{dialect.place} is a database, but no registry of patchmgr", hint="name another one")
    revision: str | None = connection.exec_driver_sql(
        f"SELECT version_num FROM {patchmgr_migrations.VERSION_TABLE}"
    ).scalar()
    if revision is None:
        raise IntegrityError(f"the registry {dialect.place} does not say which revision it has", hint=dialect.restoring)
    if revision not in patchmgr_migrations.REVISIONS:
        raise NewerRegistryError(
            f"the registry {dialect.place} has revision {revision}, this patchmgr knows {patchmgr_migrations.HEAD}",
            hint="upgrade patchmgr",
        )
    return revision
