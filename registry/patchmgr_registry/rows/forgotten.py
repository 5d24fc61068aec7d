"""Versions whose content was erased. Their rows stay, for the history names them: name, number, digest, no text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select, union_all, update

from patchmgr_registry.errors import ForgottenError
from patchmgr_registry.records import ForgottenRecord
from patchmgr_registry.schema import editor_files, edits, files, forgotten, packages, scores, signatures, tags, versions
from patchmgr_registry.words import words_of

_COLUMNS = (versions.c.number, versions.c.digest, versions.c.method, versions.c.n_edits)
_FORGOTTEN = (
    select(packages.c.name, *_COLUMNS, forgotten.c.time, forgotten.c.actor, forgotten.c.reason)
    .select_from(forgotten.join(versions).join(packages))
    .order_by(packages.c.name, versions.c.number)
)  # fmt: skip
REMEMBERED = versions.c.id.not_in(select(forgotten.c.version_id))
"""The condition of being a version with content."""
_NO_VERSION = -1
"""In place of a version's key; these are counted from 1."""
_BLOCK = 500
"""Rows that are read at once."""


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


def read_own_blobs(connection: Connection, digest: str) -> frozenset[str]:
    """The blobs of a version and its signature that no other version, signature or editor has."""
    holders = union_all(
        select(files.c.sha256, files.c.version_id),
        select(signatures.c.sha256, signatures.c.version_id),
        select(editor_files.c.sha256, literal(_NO_VERSION).label("version_id")),
    ).subquery()
    me = select(versions.c.id).where(versions.c.digest == digest).scalar_subquery()
    query = select(holders.c.sha256).group_by(holders.c.sha256)
    query = query.having((func.min(holders.c.version_id) == me) & (func.max(holders.c.version_id) == me))
    return frozenset(connection.scalars(query))


def others_about_the_same(connection: Connection, digest: str) -> tuple[str, ...]:
    """The other versions that say something of a subject of a version, by name and number.

    A subject, and the whole prompt of a request that names none, is looked for word by word in every text of every
    other request: prompts, targets and probes, whatever their case and accents.
    """
    requests = select(edits.c.request).select_from(edits.join(versions))
    wanted = {_subject(text) for text in connection.scalars(requests.where(versions.c.digest == digest))} - {()}
    signs = {max(words, key=len) for words in wanted}
    named = select(packages.c.name, versions.c.number, edits.c.request).select_from(edits.join(versions).join(packages))
    rows = connection.execute(named.where(versions.c.digest != digest).execution_options(yield_per=_BLOCK))
    found: set[tuple[str, int]] = set()
    for name, number, text in rows:
        if (name, number) not in found and _may_tell(text, signs) and _tells(text, wanted):
            found.add((name, number))
    return tuple(f"{name}@v{number}" for name, number in sorted(found))


def _subject(text: str) -> tuple[str, ...]:
    """The words of a request's subject, or of its whole prompt."""
    request = json.loads(text)
    return words_of(request.get("subject") or request["prompt"])


def _may_tell(text: str, signs: Collection[str]) -> bool:
    """A quick sieve, for most requests are about something else."""
    plain = text.lower()
    return not text.isascii() or any(sign in plain for sign in signs)


def _tells(text: str, wanted: Collection[tuple[str, ...]]) -> bool:
    request = json.loads(text)
    filled = request["prompt"].replace("{}", request.get("subject", ""))
    said = f" {' | '.join(' '.join(words_of(text)) for text in (filled, *_strings(request)))} "
    return any(f" {' '.join(words)} " in said for words in wanted)


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, but no key."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
