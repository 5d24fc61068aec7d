"""Trained editors with their files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr_registry.errors import NumberTakenError
from patchmgr_registry.records import EditorRecord, FileRecord
from patchmgr_registry.reference import Reference, unknown
from patchmgr_registry.schema import editor_files, editors


def read_editors(connection: Connection, name: str | None = None) -> tuple[EditorRecord, ...]:
    """All of them, or the versions of one, by name and number."""
    found = _read(connection, *(() if name is None else (editors.c.name == name,)))
    if name is not None and not found:
        raise unknown("editor", name, connection.scalars(select(editors.c.name).distinct()))
    return found


def find_editor(connection: Connection, reference: Reference) -> EditorRecord:
    """The one that a reference names."""
    if reference.tag is not None:
        raise UsageError(f"{reference} does not name an editor", hint="write NAME, NAME@v3 or NAME@sha256:DIGEST")
    known = _read(connection) if reference.package is None else read_editors(connection, reference.package)
    if reference.digest is not None:
        known = tuple(editor for editor in known if editor.digest.startswith(reference.digest))
    elif reference.number is not None:
        known = tuple(editor for editor in known if editor.number == reference.number)
    if not known:
        raise NotFoundError(f"there is no editor {reference}", hint="see `patchmgr editor list`")
    if reference.digest is not None and len(known) > 1:
        names = ", ".join(f"{editor.reference} ({editor.digest[:12]}…)" for editor in known[:5])
        raise UsageError(f"{reference} could be any of {names}", hint="give more digits of the digest")
    return known[-1]


def next_number(connection: Connection, name: str) -> int:
    """The number that the next version gets; 1 for an editor that does not exist."""
    return (connection.scalar(select(func.max(editors.c.number)).where(editors.c.name == name)) or 0) + 1


def insert_editor(connection: Connection, editor: EditorRecord) -> None:
    """Add one with its files."""
    same = (editors.c.name == editor.name) & (editors.c.number == editor.number)
    for taken in _read(connection, same | (editors.c.digest == editor.digest)):
        if (taken.name, taken.number) == (editor.name, editor.number):
            free = next_number(connection, editor.name)
            raise NumberTakenError(editor.name, editor.number, digest=taken.digest, next_number=free)
        raise ConflictError(f"{taken.reference} has the digest of {editor.reference} already")
    values = asdict(editor)
    del values["files"]
    result: Any = connection.execute(insert(editors).values(values))
    row_id = result.inserted_primary_key[0]
    if editor.files:
        connection.execute(insert(editor_files), [{"editor_id": row_id, **asdict(file)} for file in editor.files])


def delete_editor(connection: Connection, digest: str) -> None:
    """Take one out, with its files."""
    chosen = select(editors.c.id).where(editors.c.digest == digest).scalar_subquery()
    connection.execute(delete(editor_files).where(editor_files.c.editor_id == chosen))
    connection.execute(delete(editors).where(editors.c.digest == digest))


def read_blob_digests(connection: Connection) -> frozenset[str]:
    """The digests of all files of all editors."""
    return frozenset(connection.scalars(select(editor_files.c.sha256)))


def _read(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[EditorRecord, ...]:
    rows = connection.execute(select(editors).where(*conditions).order_by(editors.c.name, editors.c.number)).all()
    files: dict[int, list[FileRecord]] = {row.id: [] for row in rows}
    query = select(editor_files).where(editor_files.c.editor_id.in_(list(files))).order_by(editor_files.c.path)
    for row in connection.execute(query):
        files[row.editor_id].append(FileRecord(row.path, row.sha256, row.size_bytes))
    return tuple(
        EditorRecord(
            row.name,
            row.number,
            row.digest,
            row.method,
            row.created,
            row.size_bytes,
            row.manifest,
            tuple(files[row.id]),
        )
        for row in rows
    )
