"""Generations: what a model was after each change, and who is making the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from patchmgr.errors import NotFoundError
from patchmgr_registry.errors import GivenUpError
from patchmgr_registry.owner import Owner
from patchmgr_registry.records import BaseKey, GenerationRecord
from patchmgr_registry.rows.bases import model_id, read_model
from patchmgr_registry.rows.forgotten import refuse_forgotten
from patchmgr_registry.rows.versions import version_id
from patchmgr_registry.schema import (
    bases,
    generation_entries,
    generation_tensors,
    generations,
    models,
    versions,
)

_GENERATIONS = select(models.c.name.label("model"), *generations.c).join_from(generations, models)
_GENERATION_IDS = select(generations.c.id).join_from(generations, models)


def read_generations(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[GenerationRecord, ...]:
    """The generations that meet every condition, by model and number."""
    rows = connection.execute(_GENERATIONS.where(*conditions).order_by(models.c.name, generations.c.number)).all()
    stacks: dict[int, list[str]] = {row.id: [] for row in rows}
    results: dict[int, dict[str, str]] = {row.id: {} for row in rows}
    if rows:
        meant = _GENERATION_IDS.where(*conditions)
        stacked = select(generation_entries.c.generation_id, versions.c.digest).join_from(generation_entries, versions)
        stacked = stacked.where(generation_entries.c.generation_id.in_(meant)).order_by(generation_entries.c.position)
        for generation_id, digest in connection.execute(stacked).all():
            stacks[generation_id].append(digest)
        touched = select(generation_tensors).where(generation_tensors.c.generation_id.in_(meant))
        for generation_id, name, sha256 in connection.execute(touched.order_by(generation_tensors.c.name)).all():
            results[generation_id][name] = sha256
    return tuple(_generation(row, stacks[row.id], results[row.id]) for row in rows)


def read_history(
    connection: Connection, model: int, before: int | None, limit: int | None
) -> tuple[GenerationRecord, ...]:
    """The generations of the model whose row has this key, oldest first; with a limit the newest below ``before``."""
    meant = [generations.c.model_id == model]
    if before is not None:
        meant.append(generations.c.number < before)
    if limit is not None:
        last = select(generations.c.number).where(*meant).order_by(generations.c.number.desc()).limit(limit).subquery()
        meant.append(generations.c.number >= select(func.min(last.c.number)).scalar_subquery())
    return read_generations(connection, *meant)


def read_generation(connection: Connection, model: str, number: int | None = None) -> GenerationRecord:
    """One generation of a model; without a number, the current one."""
    wanted = models.c.generation if number is None else number
    found = read_generations(connection, models.c.name == model, generations.c.number == wanted)
    if not found:
        current = read_model(connection, model).generation
        raise NotFoundError(f"model {model} has no generation {number}", hint=f"its current one is {current}")
    return found[0]


def read_current(connection: Connection, model: str | None) -> tuple[GenerationRecord, ...]:
    """The current generation of every model, by its name, or of one."""
    meant = [generations.c.number == models.c.generation]
    if model is not None:
        meant.append(models.c.name == model)
    return read_generations(connection, *meant)


def read_models_with(connection: Connection, digest: str) -> tuple[str, ...]:
    """The models whose current generation has a version in its stack, by name."""
    current = models.join(
        generations, (generations.c.model_id == models.c.id) & (generations.c.number == models.c.generation)
    )
    query = select(models.c.name).select_from(current.join(generation_entries).join(versions))
    return tuple(connection.scalars(query.where(versions.c.digest == digest).order_by(models.c.name)))


def find_same_stack(connection: Connection, key: BaseKey, packages: Sequence[str]) -> GenerationRecord | None:
    """A generation, of any model on this base, that was made from these packages in whatever order."""
    n_entries = (
        select(func.count())
        .where(generation_entries.c.generation_id == generations.c.id)
        .correlate(generations)
        .scalar_subquery()
    )
    n_shared = (
        select(func.count())
        .select_from(generation_entries.join(versions))
        .where(generation_entries.c.generation_id == generations.c.id, versions.c.digest.in_(packages))
        .correlate(generations)
        .scalar_subquery()
    )
    of_base = select(bases.c.id).where(
        bases.c.fingerprint == key.fingerprint,
        bases.c.config_sha256 == key.config_sha256,
        bases.c.tokenizer_sha256 == key.tokenizer_sha256,
    )
    found = read_generations(
        connection,
        models.c.base_id.in_(of_base),
        generations.c.status.in_(("ready", "removed")),
        n_entries == len(packages),
        n_shared == len(packages),
    )
    return found[0] if found else None


def insert_generation(connection: Connection, record: GenerationRecord) -> GenerationRecord:
    """Add a generation under the model's next number; numbers are never used twice."""
    model = model_id(connection, record.model)
    last = connection.scalar(select(func.max(generations.c.number)).where(generations.c.model_id == model))
    number = 0 if last is None else last + 1
    row = connection.execute(
        insert(generations).values(
            model_id=model,
            number=number,
            status=record.status,
            action=record.action,
            state_root=record.state_root,
            folder=record.folder,
            message=record.message,
            created=record.created,
            pid=record.owner.pid,
            host=record.owner.host,
            process_started=record.owner.started,
            heartbeat=record.heartbeat,
        )
    )
    assert row.inserted_primary_key is not None
    refuse_forgotten(connection, versions.c.digest.in_(record.packages))
    entries = [
        {
            "generation_id": row.inserted_primary_key[0],
            "position": position,
            "version_id": version_id(connection, digest),
        }
        for position, digest in enumerate(record.packages)
    ]
    if entries:
        connection.execute(insert(generation_entries), entries)
    return read_generation(connection, record.model, number)


def update_pending(connection: Connection, model: str, number: int, **values: object) -> None:
    """Change columns of a generation that is still being written."""
    pending = (generations.c.number == number) & (generations.c.status == "pending")
    change = update(generations).where(generations.c.model_id == model_id(connection, model), pending)
    if not connection.execute(change.values(**values)).rowcount:
        raise GivenUpError(model, number, read_generation(connection, model, number).status)


def insert_tensors(connection: Connection, model: str, number: int, tensors: Mapping[str, str]) -> None:
    """Add the result digests of touched tensors to a generation."""
    query = select(generations.c.id).where(
        generations.c.model_id == model_id(connection, model), generations.c.number == number
    )
    generation_id = connection.scalars(query).one()
    rows = [{"generation_id": generation_id, "name": name, "sha256": sha256} for name, sha256 in tensors.items()]
    if rows:
        connection.execute(insert(generation_tensors), rows)


def mark_removed(connection: Connection, model: str, number: int) -> None:
    """Note that the folder of a generation is gone."""
    change = update(generations).where(
        generations.c.model_id == model_id(connection, model), generations.c.number == number
    )
    connection.execute(change.values(status="removed", folder=None))


def set_current(connection: Connection, model: str, number: int) -> None:
    """Make a generation the current one."""
    change = update(models).where(models.c.id == model_id(connection, model))
    connection.execute(change.values(generation=number))


def _generation(row: Row[Any], stack: Sequence[str], tensors: Mapping[str, str]) -> GenerationRecord:
    return GenerationRecord(
        model=row.model,
        number=row.number,
        status=row.status,
        action=row.action,
        state_root=row.state_root,
        folder=row.folder,
        packages=tuple(stack),
        tensors=tensors,
        message=row.message,
        created=row.created,
        owner=Owner(pid=row.pid, host=row.host, started=row.process_started),
        heartbeat=row.heartbeat,
    )
