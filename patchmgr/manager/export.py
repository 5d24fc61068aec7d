"""Exporting: a package on its base, or a model's present stack, as files for programs without patchmgr.

Nothing is changed but the folder that is named. What leaves a model is an event; a package by itself is only read.
:func:`adapter_files` is for pushing: the LoRA adapter that rides beside a package, where there is an exact one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.errors import ConflictError, NotFoundError
from patchmgr.exporters.contract import ExportOptions, ExportSource, Prepared, Written
from patchmgr.manager.exporting.place import MARKER, check_replaceable, find_place, mark, write_folder
from patchmgr.manager.exporting.source import find_source, is_model, source_of
from patchmgr.manager.states import open_version
from patchmgr.package.reader import WEIGHTS
from patchmgr_registry import EventObject, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

ADAPTER_LIMIT_BYTES = 256 * 1024 * 1024
"""Of a package's deltas, and of their adapter; larger ones ride without one."""


@dataclass(frozen=True)
class ExportOrder:
    """What to export, in which form, and where to."""

    name: str
    """A model, or a package by reference or folder."""
    to: str
    """Name of an exporter."""
    destination: Path
    options: ExportOptions = field(default_factory=ExportOptions)
    with_parents: bool = False
    """A package together with those that it was computed on."""
    force: bool = False
    """Replace an earlier export that lies there."""


@dataclass(frozen=True)
class Exported:
    """An export, done or planned."""

    name: str
    to: str
    folder: Path
    packages: tuple[str, ...]
    files: tuple[str, ...]
    facts: Mapping[str, Any]
    """What the exporter says of it."""
    remarks: tuple[str, ...]
    state_root: str | None = None
    """Of the state that the files give exactly, once they are written."""
    size_bytes: int | None = None
    """Of the files, once they are written."""


def export(manager: Manager, order: ExportOrder) -> Exported:
    """Write a state in another form; either the whole folder is there afterwards or nothing of it.

    Raises:
        NotFoundError: no such model or package, or the base is gone.
        UsageError: an unknown form, or an option that means nothing to it.
        ConflictError: the form cannot carry a package, a package was computed on others, or the folder holds something.
        IntegrityError: a byte of the base or of a package is not what its digest says.
        StorageError: the disk is full, read-only or failing.
    """
    source, prepared, place = _prepared(manager, order)

    def write(folder: Path) -> Written:
        written = prepared.write(folder, manager.progress)
        mark(folder, order.to)
        return written

    written = write_folder(place, write)
    if is_model(manager, order.name):
        _record(manager, source, order, written)
    there = sorted(path for path in place.rglob("*") if path.is_file())
    return Exported(
        source.name,
        order.to,
        place,
        tuple(manifest.reference for manifest in source.stack),
        tuple(path.relative_to(place).as_posix() for path in there),
        prepared.facts,
        prepared.remarks,
        written.state_root,
        sum(path.stat().st_size for path in there),
    )


def plan_export(manager: Manager, order: ExportOrder) -> Exported:
    """Everything that :func:`export` checks, and what it would write; errors as those of it."""
    source, prepared, place = _prepared(manager, order)
    packages = tuple(manifest.reference for manifest in source.stack)
    files = (*prepared.files, MARKER)
    return Exported(source.name, order.to, place, packages, files, prepared.facts, prepared.remarks)


def adapter_files(manager: Manager, version: VersionRecord) -> Mapping[str, bytes] | None:
    """The LoRA adapter of a package by itself, by file name; always the same bytes for the same package and base.

    None where it has no exact one: a memory, a package that was computed on others, a change that is not of low rank or
    not of linear maps, a model that transformers does not know, a base that is not here, or more than
    :data:`ADAPTER_LIMIT_BYTES` of deltas or of factors.

    Raises:
        IntegrityError: a byte of the base or of the package is not what its digest says.
    """
    from patchmgr.exporters.peft.exporter import make_adapter
    from patchmgr.exporters.peft.files import CONFIG
    from patchmgr.exporters.peft.files import WEIGHTS as ADAPTER_WEIGHTS

    package = open_version(manager, version)
    manifest = package.manifest
    if manifest.kind == "memory" or manifest.parent.packages:
        return None
    if manifest.files[WEIGHTS].size_bytes > ADAPTER_LIMIT_BYTES:
        return None
    try:
        source = source_of(manager, package, with_parents=False)
        adapter = make_adapter(source, ExportOptions(), limit_bytes=ADAPTER_LIMIT_BYTES)
    except (ConflictError, NotFoundError):
        return None
    return {CONFIG: adapter.config, ADAPTER_WEIGHTS: adapter.weights}


def _prepared(manager: Manager, order: ExportOrder) -> tuple[ExportSource, Prepared, Path]:
    exporter = manager.plugins.exporter(order.to)
    source = find_source(manager, order.name, with_parents=order.with_parents)
    place = find_place(manager, source.base.folder, order.destination, force=order.force)
    prepared = exporter.prepare(source, order.options)
    check_replaceable(place, order.to, prepared.files)
    return source, prepared, place


def _record(manager: Manager, source: ExportSource, order: ExportOrder, written: Written) -> None:
    packages = [EventObject("package", manifest.reference, manifest.digest) for manifest in source.stack]
    with manager.registry.begin() as tx:
        objects = [EventObject("model", order.name, written.state_root), *packages]
        tx.record_event(manager.origin, "export", objects=objects)
        tx.commit()
