"""What a model is now. Only the registry is read: no weight, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.ops.memories import has_memories
from patchmgr_registry import GenerationRecord, ModelRecord, VersionSummary

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class AppliedPackage:
    """One package of a stack, as a list shows it."""

    reference: str
    digest: str
    method: str
    n_edits: int
    message: str


@dataclass(frozen=True)
class ModelStatus:
    """A model's base, generation and stack."""

    model: str
    source: str
    revision: str | None
    fingerprint: str
    generation: int
    changed: str
    """When the current generation was made."""
    state_root: str
    folder: Path
    stack: tuple[AppliedPackage, ...]


def status(manager: Manager, model: str | None) -> tuple[ModelStatus, ...]:
    """One model, or every one by name.

    Raises:
        NotFoundError: there is no such model.
    """
    registry = manager.registry
    records = registry.models() if model is None else (registry.model(model),)
    generations = registry.current_generations(model)
    versions = registry.summaries_by_digest({digest for found in generations.values() for digest in found.packages})
    return tuple(
        _status(record, generations[record.name], versions) for record in records if record.name in generations
    )


def path(manager: Manager, model: str, *, weights_only: bool = False) -> Path:
    """The folder of a model's current state.

    Args:
        manager: the registry.
        model: which model.
        weights_only: also where the state has memories, which programs other than patchmgr would drop silently.

    Raises:
        UsageError: the state has memories, and nobody said that they may be dropped.
        NotFoundError: there is no such model, or its folder is gone.
    """
    (found,) = status(manager, model)
    if not found.folder.is_dir():
        raise NotFoundError(
            f"generation {found.generation} of {model} is no longer at {found.folder}",
            hint=f"see `patchmgr log {model}`, and make it again with apply or revert",
        )
    if has_memories(found.folder) and not weights_only:
        raise UsageError(
            f"{model} answers with memory packages, which other programs would drop",
            hint="load it by patchmgr.load(FOLDER), or take --weights-only",
        )
    return found.folder


def _status(record: ModelRecord, generation: GenerationRecord, versions: Mapping[str, VersionSummary]) -> ModelStatus:
    return ModelStatus(
        model=record.name,
        source=record.base.source,
        revision=record.base.revision,
        fingerprint=record.base.fingerprint,
        generation=generation.number,
        changed=generation.created,
        state_root=generation.state_root or "",
        folder=Path(generation.folder or record.base.folder),
        stack=tuple(_applied(versions, digest) for digest in generation.packages),
    )


def _applied(versions: Mapping[str, VersionSummary], digest: str) -> AppliedPackage:
    version = versions.get(digest)
    if version is None:
        raise IntegrityError(f"the registry has lost the package {digest[:12]}", hint="restore a backup of registry.db")
    return AppliedPackage(version.reference, digest, version.method, version.n_edits, version.message)
