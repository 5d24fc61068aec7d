"""Scores, of versions and of states as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select

from patchmgr_registry.records import Result, ScoreRecord
from patchmgr_registry.schema import scores, versions

_COLUMNS = [scores.c[field.name] for field in fields(ScoreRecord)]
_RESULT = [scores.c[name] for name in Result._fields]


def read_scores(connection: Connection, condition: ColumnElement[bool]) -> tuple[ScoreRecord, ...]:
    """The scores that meet a condition, in the order they were added."""
    query = select(*_COLUMNS).where(condition).order_by(scores.c.id)
    return tuple(ScoreRecord(*row) for row in connection.execute(query))


def read_results_of_versions(
    connection: Connection, digests: Collection[str], metrics: Collection[str]
) -> dict[str, tuple[Result, ...]]:
    """What several versions achieved in some metrics, by digest, in the order it was added."""
    query = select(versions.c.digest, *_RESULT).join_from(scores, versions).where(versions.c.digest.in_(digests))
    return _by_first(connection, query, metrics)


def read_results_of_states(
    connection: Connection, roots: Collection[str], metrics: Collection[str]
) -> dict[str, tuple[Result, ...]]:
    """What was measured on several states in some metrics, by root, in the order it was added."""
    query = select(scores.c.state_root, *_RESULT).where(scores.c.state_root.in_(roots))
    return _by_first(connection, query, metrics)


def insert_scores(connection: Connection, version: int | None, measured: Iterable[ScoreRecord]) -> None:
    """Add scores to the version whose row has this key; None: to a state as a whole."""
    rows = [{"version_id": version, **asdict(score)} for score in measured]
    if rows:
        connection.execute(insert(scores), rows)


def _by_first(connection: Connection, query: Select[Any], metrics: Collection[str]) -> dict[str, tuple[Result, ...]]:
    """Results by what stands in the first column."""
    query = query.where(scores.c.phase == "after", scores.c.metric.in_(metrics)).order_by(scores.c.id)
    found: dict[str, list[Result]] = {}
    for first, *values in connection.execute(query).all():
        found.setdefault(first, []).append(Result(*values))
    return {first: tuple(of_it) for first, of_it in found.items()}
