"""Alembic's entry: runs revisions on the connection that it is given in ``config.attributes``.

From the command line (``alembic upgrade head``), where nobody gives one, the database is the URL in
``PATCHMGR_DATABASE_URL``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from alembic import context
from sqlalchemy import Connection, MetaData, create_engine

from patchmgr_migrations import NAMING_CONVENTION
from patchmgr_migrations.triggers import EDITS_SEARCH, VERSIONS_SEARCH, install_triggers


def _is_ours_to_compare(name: str | None, kind: str, _parents: Mapping[Any, Any]) -> bool:
    """Full-text search is made of tables and indices that a database keeps for itself."""
    return not (kind in ("table", "index") and name is not None and name.startswith((EDITS_SEARCH, VERSIONS_SEARCH)))


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=context.config.attributes.get("target_metadata")
        or MetaData(naming_convention=NAMING_CONVENTION),
        render_as_batch=True,
        include_name=_is_ours_to_compare,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate_by_url(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        _migrate(connection)
        install_triggers(connection)
    engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    _migrate_by_url(os.environ["PATCHMGR_DATABASE_URL"])
