"""From registry rows to values that operations work on: a model's base, its stack, and packages with their files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.digests import DigestCache, file_identity
from patchmgr.base.fingerprint import Fingerprint, TensorDigest, fingerprint
from patchmgr.errors import IntegrityError, NotFoundError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.reader import SIGNATURE, EditPackage
from patchmgr_registry import BaseRecord, GenerationRecord, ModelRecord, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def has_own_folder(manager: Manager, generation: GenerationRecord) -> bool:
    """Whether a generation lies where this home has it, whatever its row says: nothing else may be cleared away."""
    own = manager.settings.generations(generation.model) / str(generation.number)
    folder = os.path.realpath(generation.folder or own)
    home = os.path.realpath(manager.settings.home / "models")
    return folder == os.path.realpath(own) and folder.startswith(home + os.sep)


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
    return ModelState(
        record, generation, open_base(manager, record, known), known, stack_of(manager, generation.packages)
    )


def registered_fingerprint(manager: Manager, base: BaseRecord) -> Fingerprint:
    """The digests of a base as they were when it was registered."""
    tensors = manager.registry.tensors(base.key)
    digests = {t.name: TensorDigest(t.name, t.dtype, t.shape, t.sha256) for t in tensors}
    return Fingerprint(digests, base.config_sha256, base.tokenizer_sha256)


def open_base(manager: Manager, record: ModelRecord, known: Fingerprint) -> Checkpoint:
    """The files of a model's base, found to be what was registered; files that did not change are not read again.

    Raises:
        NotFoundError: the folder is gone.
        IntegrityError: a tensor is another, came or went; names it.
    """
    folder = Path(record.base.folder)
    if not folder.is_dir():
        raise NotFoundError(
            f"the base of {record.name} is no longer at {folder}",
            hint=f"bring it back, or `patchmgr model add OTHER {record.base.source}`: the same bytes are found again",
        )
    checkpoint = Checkpoint.read(folder)
    compare(f"the base of {record.name}", known, fingerprint_of(manager, checkpoint, manager.digests))
    return checkpoint


def check_current(manager: Manager, state: ModelState) -> Checkpoint:
    """The checkpoint of the current generation, found to be what the registry says that it is.

    Raises:
        NotFoundError: its folder is gone.
        IntegrityError: a byte of it is not what it was; names the tensor.
    """
    if state.folder == state.base.folder:
        return state.base
    checkpoint = Checkpoint.read(state.folder)
    wanted = state.fingerprint.with_tensors(state.generation.tensors)
    what = f"generation {state.generation.number} of {state.record.name}"
    compare(what, wanted, fingerprint_of(manager, checkpoint, manager.digests))
    return checkpoint


def remember(manager: Manager, checkpoint: Checkpoint, known: Fingerprint) -> None:
    """Keep what is known of a checkpoint that was just written, so that nobody reads it again to find out."""
    for file, header in checkpoint.headers.items():
        digests = {tensor.name: known.tensors[tensor.name].sha256 for tensor in header.tensors}
        manager.digests.put(file_identity(checkpoint.folder / file), digests)


def fingerprint_of(manager: Manager, checkpoint: Checkpoint, cache: DigestCache) -> Fingerprint:
    """The fingerprint of a checkpoint, with progress."""
    return fingerprint(
        checkpoint, cache, progress=lambda done, total: manager.progress(done, total, "fingerprinting (bytes)")
    )


def compare(what: str, wanted: Fingerprint, found: Fingerprint) -> None:
    """Make sure that a checkpoint is what it was.

    Raises:
        IntegrityError: it is not; names the first tensor that differs and both digests.
    """
    for name in sorted(wanted.tensors.keys() | found.tensors.keys()):
        was, now = wanted.tensors.get(name), found.tensors.get(name)
        if was != now:
            digests = " and is ".join(f"{tensor.sha256[:12]}…" if tensor else "absent" for tensor in (was, now))
            raise IntegrityError(
                f"{what} has changed: {name!r} was {digests}",
                hint="bases and generations must stay as they are; fetch the base again, or `patchmgr apply` again",
            )
    for part in ("config_sha256", "tokenizer_sha256"):
        if getattr(wanted, part) != getattr(found, part):
            raise IntegrityError(
                f"{what} has changed: its {part.removesuffix('_sha256')} files are others",
                hint="bring them back as they were; a changed configuration is another base",
            )


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
    """A package of the registry, every byte checked; with its signature, which is not.

    Raises:
        IntegrityError: a blob is missing or damaged.
    """
    blobs, signature = manager.registry.blobs, manager.registry.signature(version.digest)
    files = {file.path: blobs.path(file.sha256) for file in version.files}
    if signature is not None and signature.sha256 in blobs:  # a lost one is told of by whoever asks for it
        files[SIGNATURE] = blobs.path(signature.sha256)
    return EditPackage.open(version.manifest.encode(), files)


def find_manifests(manager: Manager, references: Iterable[str]) -> tuple[Manifest, ...]:
    """The manifests that references name; those in folders are only read.

    Raises:
        NotFoundError: there is no such package or version.
        UsageError: a reference is malformed or ambiguous.
        IntegrityError: a package in a folder is not whole.
    """
    return tuple(
        EditPackage.read(folder_of(text)).manifest
        if is_folder(text)
        else parse_manifest(manager.registry.version(text).manifest.encode())
        for text in references
    )


def _version(manager: Manager, digest: str) -> VersionRecord:
    version = manager.registry.version_by_digest(digest)
    if version is None:
        raise IntegrityError(f"the registry has lost the package {digest[:12]}", hint="restore a backup of registry.db")
    return version
