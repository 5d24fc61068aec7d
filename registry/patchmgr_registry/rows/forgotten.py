"""Versions whose content was erased. Their rows stay, for the history names them: name, number, digest, no text."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from patchmgr_registry.errors import ForgottenError
from patchmgr_registry.records import ForgottenRecord
from patchmgr_registry.schema import edits, files, forgotten, packages, scores, signatures, tags, versions

_COLUMNS = (versions.c.number, versions.c.digest, versions.c.method, versions.c.n_edits)
_FORGOTTEN = (
    select(packages.c.name, *_COLUMNS, forgotten.c.time, forgotten.c.actor, forgotten.c.reason)
    .select_from(forgotten.join(versions).join(packages))
    .order_by(packages.c.name, versions.c.number)
)  # fmt: skip
REMEMBERED = versions.c.id.not_in(select(forgotten.c.version_id))
"""The condition of being a version with content."""


def read_forgotten(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[ForgottenRecord, ...]:
    """The erased versions that meet every condition, by package and number."""
    return tuple(ForgottenRecord(*row) for row in connection.execute(_FORGOTTEN.where(*conditions)))


def refuse_forgotten(connection: Connection, *conditions: ColumnElement[bool]) -> None:
    """Raise ForgottenError when a version that meets the conditions was erased."""
    for record in read_forgotten(connection, *conditions):
        raise ForgottenError(record)


def insert_forgotten(connection: Connection, version_id: int, *, time: str, actor: str, reason: str) -> None:
    """Erase what a version says, with its edits, files, scores, signature and tags, and note why."""
    for table in (edits, files, scores, signatures, tags):
        connection.execute(delete(table).where(table.c.version_id == version_id))
    emptied = {"message": "", "words": "", "manifest": ""}
    connection.execute(update(versions).where(versions.c.id == version_id).values(emptied))
    connection.execute(insert(forgotten).values(version_id=version_id, time=time, actor=actor, reason=reason))


def delete_forgotten(connection: Connection, version_id: int) -> None:
    """Let a version be known again."""
    connection.execute(delete(forgotten).where(forgotten.c.version_id == version_id))


def others_with_same_edits(connection: Connection, digest: str) -> tuple[str, ...]:
    """The other versions that hold one of the requests of a version, by name and number."""
    of_version = select(edits.c.request).join_from(edits, versions).where(versions.c.digest == digest)
    query = select(packages.c.name, versions.c.number).select_from(edits.join(versions).join(packages))
    query = query.where(edits.c.request.in_(of_version), versions.c.digest != digest).distinct()
    return tuple(f"{name}@v{number}" for name, number in sorted(map(tuple, connection.execute(query))))
