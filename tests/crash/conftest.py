"""Homes whose registries are kept in each kind of database."""

from __future__ import annotations

from databases import (  # noqa: F401  # fixtures
    database,
    empty_postgresql,
    empty_sqlite,
    new_postgresql,
    postgresql_server,
)
