"""Models: registering a base under a name, and forgetting it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint
from patchmgr.errors import ConflictError, PatchmgrError, UsageError
from patchmgr.manager.aftermath import point_current
from patchmgr.manager.sources import Source, find_source
from patchmgr.manager.states import compare, fingerprint_of
from patchmgr.ops.memories import has_memories
from patchmgr.ops.stack import state_root
from patchmgr.package.manifest import check_name
from patchmgr_registry import BaseRecord, EventObject, ModelRecord, TensorRecord, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

RESERVED = ("verify", "export", "anchor", "events", "at", "fact", "carriers", "changes")
"""Words that `patchmgr audit` takes for something else than a model."""


def add_model(manager: Manager, name: str, source: str, *, revision: str | None = None) -> ModelRecord:
    """Register a base under a name; the base's folder is read once and never written.

    Args:
        manager: the registry to add it to.
        name: how the model shall be called.
        source: ``demo:atlas``, a folder, or a Hub id.
        revision: a branch, tag or commit of a Hub id; it is pinned to the commit.

    Raises:
        UsageError: the name cannot be one.
        ConflictError: the name is taken.
        NotFoundError: the source cannot be found, or holds no safetensors model.
        FormatError: a file of it is damaged.
    """
    if check_name(name) in RESERVED:
        raise UsageError(f"{name!r} cannot be the name of a model", hint="`patchmgr audit` means something else by it")
    if any(model.name == name for model in manager.registry.models()):
        raise ConflictError(
            f"there is a model {name!r} already", hint=f"choose another name, or `patchmgr model remove {name}`"
        )
    found = find_source(source, revision)
    if has_memories(found.folder):
        raise UsageError(
            f"{source} answers with memory packages, which a base cannot have",
            hint="register the base itself, and `patchmgr apply` the packages in its folder memories",
        )
    checkpoint = Checkpoint.read(found.folder)
    known = fingerprint_of(manager, checkpoint, manager.digests)
    moved = {base.folder for base in manager.registry.bases(known.weights_root) if not _is_there(manager, base, known)}
    base, root = _base_record(found, checkpoint, known), state_root(known)
    with manager.registry.begin() as tx:
        registered = tx.add_base(base, _tensor_records(checkpoint, known))
        if registered.folder in moved:
            tx.move_base(registered.key, base.folder)
            registered = replace(registered, folder=base.folder)
        record = tx.add_model(
            name, registered.key, state_root=root
        )  # without a folder: it is the base, wherever that lies
        tx.record_event(
            manager.origin,
            "model-add",
            objects=[EventObject("model", name, root), EventObject("base", found.name, known.weights_root)],
        )
        tx.commit()
    point_current(manager, name, Path(registered.folder))
    return record


def _is_there(manager: Manager, base: BaseRecord, known: Fingerprint) -> bool:
    """Whether a registered folder still holds its base."""
    try:
        compare(base.folder, known, fingerprint_of(manager, Checkpoint.read(Path(base.folder)), manager.digests))
    except PatchmgrError:
        return False
    return True


def remove_model(manager: Manager, name: str) -> None:
    """Forget a model and delete its generations; its base, packages and events stay.

    Raises:
        NotFoundError: there is none of that name.
        BusyError: a process is writing a generation of it.
        ConflictError: another model has one of its generations for a base.
    """
    own = manager.settings.generations(name)
    with manager.registry.begin() as tx:
        standing = [
            model.name
            for model in tx.models()
            if model.name != name and Path(model.base.folder).resolve().is_relative_to(own.resolve())
        ]
        if standing:
            raise ConflictError(
                f"{', '.join(standing)} has a generation of {name} for its base", hint="remove that model first"
            )
        state = tx.generation(name).state_root
        tx.remove_model(name)
        tx.record_event(manager.origin, "model-remove", objects=[EventObject("model", name, state)])
        tx.commit()
    shutil.rmtree(own.parent, ignore_errors=True)


def _base_record(source: Source, checkpoint: Checkpoint, known: Fingerprint) -> BaseRecord:
    return BaseRecord(
        fingerprint=known.weights_root,
        config_sha256=known.config_sha256,
        tokenizer_sha256=known.tokenizer_sha256,
        source=source.name,
        revision=source.revision,
        folder=str(checkpoint.folder),
        architecture=checkpoint.architecture,
        n_parameters=sum(prod(entry.shape) for _, entry in checkpoint.tensors.values()),
        size_bytes=checkpoint.size_bytes,
        created=timestamp(),
    )


def _tensor_records(checkpoint: Checkpoint, known: Fingerprint) -> list[TensorRecord]:
    return [
        TensorRecord(name, file, entry.dtype, entry.shape, known.tensors[name].sha256)
        for name, (file, entry) in checkpoint.tensors.items()
    ]
