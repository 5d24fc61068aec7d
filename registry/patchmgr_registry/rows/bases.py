"""Bases, their tensors, and the models that stand on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from patchmgr.errors import ConflictError, NotFoundError
from patchmgr_registry.records import BaseKey, BaseRecord, ModelRecord, TensorRecord
from patchmgr_registry.reference import unknown
from patchmgr_registry.rows.text import from_text, to_text
from patchmgr_registry.schema import bases, generations, models, tensors

_MODELS = select(
    models.c.id.label("model_id"),
    models.c.name,
    models.c.generation,
    models.c.created.label("model_created"),
    *bases.c,
).join_from(models, bases)


def read_bases(connection: Connection, fingerprint: str | None = None) -> tuple[BaseRecord, ...]:
    """Every base, or those of one fingerprint, which differ in config or tokenizer; the oldest first."""
    query = select(bases).order_by(bases.c.id)
    if fingerprint is not None:
        query = query.where(bases.c.fingerprint == fingerprint)
    return tuple(_base(row) for row in connection.execute(query))


def read_base(connection: Connection, key: BaseKey) -> BaseRecord:
    """One base."""
    row = connection.execute(select(bases).where(_is_base(key))).first()
    if row is None:
        raise NotFoundError(f"no base with fingerprint {key.fingerprint[:12]} is registered", hint="patchmgr model add")
    return _base(row)


def read_tensors(connection: Connection, key: BaseKey) -> tuple[TensorRecord, ...]:
    """The tensors of a base in the order they were given; empty for a base that is not registered."""
    query = select(tensors).join_from(tensors, bases).where(_is_base(key)).order_by(tensors.c.position)
    return tuple(
        TensorRecord(row.name, row.file, row.dtype, tuple(from_text(row.shape)), row.sha256)
        for row in connection.execute(query)
    )


def insert_base(connection: Connection, base: BaseRecord, of_base: Iterable[TensorRecord]) -> BaseRecord:
    """Add a base with its tensors, or find the one of the same identity as it was added first."""
    known = connection.execute(select(bases).where(_is_base(base.key))).first()
    if known is not None:
        return _base(known)
    row_id = connection.execute(
        insert(bases).values(
            fingerprint=base.fingerprint,
            config_sha256=base.config_sha256,
            tokenizer_sha256=base.tokenizer_sha256,
            source=base.source,
            revision=base.revision,
            folder=base.folder,
            architecture=base.architecture,
            n_parameters=base.n_parameters,
            size_bytes=base.size_bytes,
            created=base.created,
        )
    ).inserted_primary_key
    assert row_id is not None
    rows = [
        {
            "base_id": row_id[0],
            "position": position,
            "name": tensor.name,
            "file": tensor.file,
            "dtype": tensor.dtype,
            "shape": to_text(tensor.shape),
            "sha256": tensor.sha256,
        }
        for position, tensor in enumerate(of_base)
    ]
    if rows:
        connection.execute(insert(tensors), rows)
    return base


def move_base(connection: Connection, key: BaseKey, folder: str) -> None:
    """Note where the files of a base lie now."""
    if not connection.execute(update(bases).where(_is_base(key)).values(folder=folder)).rowcount:
        read_base(connection, key)


def delete_base(connection: Connection, key: BaseKey) -> None:
    """Forget a base that no model stands on."""
    read_base(connection, key)
    users = [model.name for model in read_models(connection) if model.base.key == key]
    if users:
        raise ConflictError(
            f"base {key.fingerprint[:12]} is used by {', '.join(users)}", hint="patchmgr model remove them first"
        )
    connection.execute(delete(bases).where(_is_base(key)))


def read_models(connection: Connection) -> tuple[ModelRecord, ...]:
    """Every model, by name."""
    return tuple(_model(row) for row in connection.execute(_MODELS.order_by(models.c.name)))


def read_model(connection: Connection, name: str) -> ModelRecord:
    """One model."""
    row = connection.execute(_MODELS.where(models.c.name == name)).first()
    if row is None:
        raise unknown("model", name, connection.scalars(select(models.c.name)))
    return _model(row)


def model_id(connection: Connection, name: str) -> int:
    """The key of a model's row."""
    found: int | None = connection.scalar(select(models.c.id).where(models.c.name == name))
    if found is None:
        raise unknown("model", name, connection.scalars(select(models.c.name)))
    return found


def insert_model(connection: Connection, name: str, key: BaseKey, created: str) -> None:
    """Add a name for a base; its generation 0 is the caller's to add."""
    if connection.scalar(select(models.c.id).where(models.c.name == name)) is not None:
        raise ConflictError(f"there is a model {name!r} already", hint="choose another name, or remove that one first")
    base_id = connection.scalar(select(bases.c.id).where(_is_base(key)))
    if base_id is None:
        read_base(connection, key)
    connection.execute(insert(models).values(name=name, base_id=base_id, generation=0, created=created))


def delete_model(connection: Connection, name: str) -> None:
    """Forget a model and its generations."""
    connection.execute(delete(models).where(models.c.id == model_id(connection, name)))


def _is_base(key: BaseKey) -> ColumnElement[bool]:
    return and_(
        bases.c.fingerprint == key.fingerprint,
        bases.c.config_sha256 == key.config_sha256,
        bases.c.tokenizer_sha256 == key.tokenizer_sha256,
    )


def _base(row: Row[Any]) -> BaseRecord:
    return BaseRecord(
        fingerprint=row.fingerprint,
        config_sha256=row.config_sha256,
        tokenizer_sha256=row.tokenizer_sha256,
        source=row.source,
        revision=row.revision,
        folder=row.folder,
        architecture=row.architecture,
        n_parameters=row.n_parameters,
        size_bytes=row.size_bytes,
        created=row.created,
    )


def _model(row: Row[Any]) -> ModelRecord:
    return ModelRecord(name=row.name, base=_base(row), generation=row.generation, created=row.model_created)


def move_home(connection: Connection, before: Iterable[str], after: str) -> None:
    """Name what lies in a home by its place in another.

    A generation's folder is that of its model and number in the new home, whatever was noted. A base moves along when
    it lay in the old home, by whichever name of it.
    """
    homes, after = set(before), after.rstrip("/")
    query = select(generations.c.id, generations.c.number, generations.c.folder, models.c.name)
    for row in connection.execute(query.join_from(generations, models).where(generations.c.folder.is_not(None))).all():
        inside = f"/models/{row.name}/generations/{row.number}"
        if row.folder.endswith(inside):
            homes.add(row.folder.removesuffix(inside))
        moved = update(generations).where(generations.c.id == row.id)
        connection.execute(moved.values(folder=after + inside))
    named = sorted((home.rstrip("/") + "/" for home in homes if home.strip("/")), key=len, reverse=True)
    for base in connection.execute(select(bases.c.id, bases.c.folder)).all():
        home = next((home for home in named if base.folder.startswith(home)), None)
        if home is not None:
            folder = f"{after}/{base.folder.removeprefix(home)}"
            connection.execute(update(bases).where(bases.c.id == base.id).values(folder=folder))
