"""From registry rows to values that operations work on: a model's base, its stack, and packages with their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint, TensorDigest
from patchmgr.errors import IntegrityError, NotFoundError
from patchmgr.manager.packages import is_folder
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.reader import EditPackage
from patchmgr_registry import BaseRecord, GenerationRecord, ModelRecord, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class ModelState:
    """A model as it is now: its base and the packages on it."""

    record: ModelRecord
    generation: GenerationRecord
    base: Checkpoint
    fingerprint: Fingerprint
    """Of the base."""
    stack: Stack

    @property
    def folder(self) -> Path:
        """Where the current state lies as an ordinary checkpoint."""
        return Path(self.generation.folder or self.record.base.folder)

    @property
    def root(self) -> str:
        """The current state root."""
        if self.generation.state_root is None:
            raise IntegrityError(f"generation {self.generation.number} of {self.record.name} has no state root")
        return self.generation.state_root


def read_state(manager: Manager, model: str) -> ModelState:
    """A model's current state.

    Raises:
        NotFoundError: there is no such model, or its base's folder is gone.
        IntegrityError: the base's files are not those that were registered.
    """
    record = manager.registry.model(model)
    generation = manager.registry.generation(model, record.generation)
    known = registered_fingerprint(manager, record.base)
    return ModelState(record, generation, open_base(record, known), known, stack_of(manager, generation.packages))


def registered_fingerprint(manager: Manager, base: BaseRecord) -> Fingerprint:
    """The digests of a base as they were when it was registered."""
    tensors = manager.registry.tensors(base.key)
    digests = {t.name: TensorDigest(t.name, t.dtype, t.shape, t.sha256) for t in tensors}
    return Fingerprint(digests, base.config_sha256, base.tokenizer_sha256)


def open_base(record: ModelRecord, known: Fingerprint) -> Checkpoint:
    """The files of a model's base, their headers compared with what was registered.

    Raises:
        NotFoundError: the folder is gone.
        IntegrityError: a tensor vanished, or changed its dtype or shape.
    """
    folder = Path(record.base.folder)
    if not folder.is_dir():
        raise NotFoundError(
            f"the base of {record.name} is no longer at {folder}",
            hint=f"bring it back, or `patchmgr model add OTHER {record.base.source}`: the same bytes are found again",
        )
    checkpoint = Checkpoint.read(folder)
    found = {entry.name: (entry.dtype, entry.shape) for _, entry in checkpoint.tensors.values()}
    for name in found.keys() ^ known.tensors.keys():
        raise IntegrityError(f"the base of {record.name} has changed: {name!r} came or went", hint=_verify(record))
    for name, tensor in known.tensors.items():
        if found[name] != (tensor.dtype, tensor.shape):
            raise IntegrityError(f"the base of {record.name} has changed: {name!r} is another", hint=_verify(record))
    return checkpoint


def stack_of(manager: Manager, digests: Iterable[str]) -> Stack:
    """The manifests of packages by digest, in order.

    Raises:
        IntegrityError: the registry does not know one of them.
    """
    return tuple(parse_manifest(_version(manager, digest).manifest.encode()) for digest in digests)


def open_packages(manager: Manager, stack: Iterable[Manifest]) -> tuple[EditPackage, ...]:
    """The packages of a stack with their files, every byte checked.

    Raises:
        IntegrityError: a blob is missing or damaged; names the package.
    """
    return tuple(open_version(manager, _version(manager, manifest.digest)) for manifest in stack)


def open_version(manager: Manager, version: VersionRecord) -> EditPackage:
    """A package of the registry, every byte checked.

    Raises:
        IntegrityError: a blob is missing or damaged.
    """
    files: Mapping[str, Path] = {file.path: manager.registry.blobs.path(file.sha256) for file in version.files}
    return EditPackage.open(version.manifest.encode(), files)


def find_manifests(manager: Manager, references: Iterable[str]) -> tuple[Manifest, ...]:
    """The manifests that references name; those in folders are only read.

    Raises:
        NotFoundError: there is no such package or version.
        UsageError: a reference is malformed or ambiguous.
        IntegrityError: a package in a folder is not whole.
    """
    return tuple(
        EditPackage.read(Path(text).expanduser()).manifest
        if is_folder(text)
        else parse_manifest(manager.registry.version(text).manifest.encode())
        for text in references
    )


def _version(manager: Manager, digest: str) -> VersionRecord:
    version = manager.registry.version_by_digest(digest)
    if version is None:
        raise IntegrityError(f"the registry has lost the package {digest[:12]}", hint="restore a backup of registry.db")
    return version


def _verify(record: ModelRecord) -> str:
    return f"see `patchmgr model verify {record.name}`; a base must not change, so keep edited copies elsewhere"
