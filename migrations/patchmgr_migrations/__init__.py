"""The history of the registry's tables: a revision for every change, and the way from any of them to the newest.

Importing this package is cheap; Alembic is imported when a migration is due. A released revision is never edited.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, MetaData

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision, oldest first."""

HEAD = REVISIONS[-1]
"""The revision that this program works with."""

VERSION_TABLE = "alembic_version"
"""The table whose one row names the revision of a database."""

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
"""How constraints and indices are named. Revisions rely on it: never change it, give new things explicit names."""


def configuration(
    connection: Connection, *, metadata: MetaData | None = None, locations: tuple[Path, ...] = ()
) -> Config:
    """Alembic's settings for a connection, with no ``alembic.ini``.

    Args:
        connection: a connection in a transaction; Alembic neither commits nor closes it.
        metadata: the tables to compare the database with, for ``alembic check``.
        locations: folders of revisions beside our own.
    """
    from alembic.config import Config

    here = Path(__file__).parent
    config = Config()
    config.set_main_option("script_location", _escaped(here))
    if locations:
        config.set_main_option("path_separator", "newline")
        config.set_main_option(
            "version_locations", "\n".join(_escaped(path) for path in (here / "versions", *locations))
        )
    config.attributes["connection"] = connection
    config.attributes["target_metadata"] = metadata
    return config


def upgrade(connection: Connection, revision: str = HEAD, *, locations: tuple[Path, ...] = ()) -> None:
    """Bring a database to a revision, inside the connection's transaction, which the caller commits.

    Triggers are put in place anew every time: SQLite drops those of a table that a revision rebuilds.
    """
    from alembic import command

    from patchmgr_migrations.triggers import install_triggers

    command.upgrade(configuration(connection, locations=locations), revision)
    install_triggers(connection)


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
