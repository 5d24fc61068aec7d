"""Copying a whole registry into an empty one, on a database of the same kind or of the other.

Every row of every table is copied with its numbers, so the chain of events and its head are the same bytes there.
It happens in one transaction of the target: a copy that fails, or is not what was read, leaves the target empty.

Rows are compared by *digests of tables*: the sum, modulo 2²⁵⁶, of the SHA-256 of the canonical JSON of each row. It
does not depend on the order of the rows, which databases sort differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select
from sqlalchemy.exc import DataError

from patchmgr.canonical import sha256_json
from patchmgr.errors import BusyError, ConflictError, IntegrityError, NotFoundError
from patchmgr_registry.chain import verify_chain
from patchmgr_registry.decoding import decoding
from patchmgr_registry.dialects import Dialect
from patchmgr_registry.dialects.contract import told
from patchmgr_registry.events import Anchor
from patchmgr_registry.rows import events, generations
from patchmgr_registry.schema import event_head, metadata
from patchmgr_registry.schema import generations as generations_table

_BLOCK = 1000
"""Rows that are read and written at once."""
_MODULUS = 2**256

Step = Callable[[int, int, str], None]
"""Told how far it is: rows done, rows in all, what is being done."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, or would be."""

    rows: Mapping[str, int]
    """Rows of each table that has some."""
    digests: Mapping[str, str]
    """Digest of each of these tables."""
    head: Anchor
    """Where the chain of events ends, in both."""

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def copy_rows(source: Connection, source_dialect: Dialect, target: Connection, dialect: Dialect, step: Step) -> Copied:
    """Copy everything, then read the target again and compare; the caller commits.

    Args:
        source: inside a reading transaction.
        source_dialect: the source's.
        target: inside a writing one.
        dialect: the target's.
        step: told of progress.

    Raises:
        NotFoundError: the source holds nothing.
        BusyError: a model is being changed in the source.
        ConflictError: the target is not empty.
        IntegrityError: the source is broken, or the target did not keep what it was given; names the table.
    """
    _check_empty(target, dialect)
    with decoding(source_dialect):
        rows, head = _survey(source)
    target.execute(delete(event_head))
    done, digests = 0, {}
    for table in metadata.sorted_tables:
        if table.name not in rows:
            continue
        total = 0
        for block, share in _blocks(source, source_dialect, table):
            total += share
            _insert(target, table, block, dialect)
            done += len(block)
            step(done, 2 * sum(rows.values()), f"copying {table.name} (rows)")
        digests[table.name] = _hexadecimal(total)
    dialect.continue_numbers(target, metadata.sorted_tables)
    copied = Copied(rows, digests, head)
    _check(target, dialect, copied, step)
    return copied


def _survey(source: Connection) -> tuple[Mapping[str, int], Anchor]:
    """Rows of each table that has some, and where the chain ends, which must hold; nobody may be at work."""
    pending = generations.read_generations(source, generations_table.c.status == "pending")
    for generation in pending:
        if not generation.is_stale:
            raise BusyError(
                f"{generation.owner} is writing generation {generation.number} of {generation.model}",
                hint="copy when it has ended, and let nobody write meanwhile",
            )
    head = events.read_head(source)
    if problem := verify_chain(events.read_chain(source), head=head):
        raise IntegrityError(problem.message, hint="see `patchmgr audit verify`; restore a backup before copying")
    rows = {table.name: count for table in metadata.sorted_tables if (count := _count(source, table))}
    if not rows.keys() - {event_head.name}:
        raise NotFoundError("there is nothing to copy: the registry is empty", hint="see which is FROM and which is TO")
    return rows, head


def _check_empty(target: Connection, dialect: Dialect) -> None:
    for table in metadata.sorted_tables:
        if table is not event_head and (count := _count(target, table)):
            raise ConflictError(
                f"the registry {dialect.place} is not empty: its table {table.name} has {count} row(s)",
                hint="copy into a new database; an old one is never written over",
            )


def _check(target: Connection, dialect: Dialect, wanted: Copied, step: Step) -> None:
    done = wanted.n_rows
    for table in metadata.sorted_tables:
        count, total = 0, 0
        for block, share in _blocks(target, dialect, table):
            count, total = count + len(block), total + share
            done += len(block)
            step(done, 2 * wanted.n_rows, f"checking {table.name} (rows)")
        if (count, _hexadecimal(total)) != (wanted.rows.get(table.name, 0), wanted.digests.get(table.name, "0" * 64)):
            raise _lost(dialect, f"its table {table.name} reads back otherwise")
    if problem := verify_chain(events.read_chain(target), head=events.read_head(target), anchors=[wanted.head]):
        raise _lost(dialect, problem.message)
    for line in dialect.check(target):
        raise _lost(dialect, line)


def _lost(dialect: Dialect, what: str) -> IntegrityError:
    return IntegrityError(
        f"{dialect.place} did not keep what was copied: {what}", hint="nothing was kept; check the database's encoding"
    )


def _insert(target: Connection, table: Table, block: list[dict[str, Any]], dialect: Dialect) -> None:
    try:
        target.execute(insert(table), block)
    except DataError as error:  # SQLite keeps what other databases refuse, such as a NUL in a text
        raise IntegrityError(
            f"a row of {table.name} cannot be kept in {dialect.place}: {told(error.orig)}",
            hint="nothing was copied; see `patchmgr fsck` of the source",
        ) from error


def _blocks(connection: Connection, dialect: Dialect, table: Table) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """All rows, some at a time, with the sum of their digests; memory does not grow with the table."""
    query = select(table).order_by(*table.primary_key.columns)
    with decoding(dialect):  # what goes wrong where the block is used does not come by here
        result = connection.execute(query.execution_options(yield_per=_BLOCK))
        for rows in result.mappings().partitions():
            yield (block := [dict(row) for row in rows]), _sum(block)


def _sum(rows: Iterable[Mapping[str, Any]]) -> int:
    return sum(int(sha256_json(dict(row)), 16) for row in rows)


def _hexadecimal(total: int) -> str:
    return f"{total % _MODULUS:064x}"


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
