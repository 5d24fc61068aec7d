"""The edit requests of a version, and the search through all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, insert, select

from patchmgr_registry.found import FoundEdit
from patchmgr_registry.rows.text import to_text
from patchmgr_registry.schema import edits, packages, versions
from patchmgr_registry.words import searchable

if TYPE_CHECKING:
    from patchmgr.request import EditRequest


def read_edits(connection: Connection, digest: str, offset: int, limit: int | None) -> tuple[EditRequest, ...]:
    """The requests of a version in their order, from ``offset`` on; empty where the author withheld them."""
    query = select(edits.c.request).join_from(edits, versions).where(versions.c.digest == digest)
    query = query.where(edits.c.position >= offset).order_by(edits.c.position).limit(limit)
    return tuple(_request(text) for text in connection.scalars(query))


def search_edits(
    connection: Connection, condition: ColumnElement[bool], package: str | None, limit: int
) -> tuple[FoundEdit, ...]:
    """The edits that meet the condition of a full-text search: those added last, the newest version first."""
    query = (
        select(packages.c.name, versions.c.number, versions.c.digest, edits.c.version_id, edits.c.position)
        .add_columns(edits.c.request)
        .select_from(edits.join(versions).join(packages))
        .where(condition)
        .order_by(edits.c.id.desc())
        .limit(limit)
    )
    if package is not None:
        query = query.where(packages.c.name == package)
    rows = sorted(connection.execute(query), key=lambda row: (-row.version_id, row.position))
    return tuple(FoundEdit(row.name, row.number, row.digest, row.position, _request(row.request)) for row in rows)


def insert_edits(connection: Connection, version_id: int, requests: Iterable[EditRequest]) -> None:
    """Add requests to the version whose row has this key."""
    rows = [
        {
            "version_id": version_id,
            "position": position,
            "request": to_text(request.to_json()),
            "words": searchable(request),
        }
        for position, request in enumerate(requests)
    ]
    if rows:
        connection.execute(insert(edits), rows)


def _request(text: str) -> EditRequest:
    from patchmgr.request import parse_request  # pydantic takes a tenth of a second, and few commands show requests

    return parse_request(json.loads(text), where="an edit in the registry")
