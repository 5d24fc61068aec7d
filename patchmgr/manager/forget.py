"""Forgetting: a version's texts and payload are erased, and what it was known by, who erased it and why stay.

For what must not be kept, such as the data of a person in an edit. The rows of its edits, manifest, message, files and
scores go, its blobs unless another package has them, the folders of old generations that were made with it, what killed
commands left of it, answers that were kept, and copies of the database from before an upgrade; then the database is
written anew, so that no freed page holds a word of it. Events are never changed: they hold digests and names, and no
texts (:mod:`patchmgr.manager.redacting`). What is beyond this home, or is another's, is told and left.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import BusyError, ConflictError, NotFoundError, UsageError
from patchmgr.hub.reference import is_hub_reference
from patchmgr.manager.aftermath import clear_leftovers
from patchmgr.manager.forget_traces import copies, left_elsewhere, scratch
from patchmgr.manager.packages import is_folder
from patchmgr.package.reader import EDITS
from patchmgr_registry import EventObject, ForgottenError, ForgottenRecord, GenerationRecord, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.request import EditRequest
    from patchmgr_registry import Transaction


@dataclass(frozen=True)
class Forgetting:
    """What was erased, or would be."""

    reference: str
    digest: str
    reason: str
    n_edits: int
    reverted: tuple[str, ...]
    """Models that it was taken off first."""
    generations: tuple[tuple[str, int], ...]
    """Old generations whose folders go, by model and number."""
    n_blobs: int
    freed_bytes: int
    traces: tuple[str, ...]
    """Files and folders of the home that go beside these."""
    stays: tuple[str, ...]
    """What holds something of it all the same, a line each; nothing was done about it."""


def forget(manager: Manager, reference: str, *, reason: str, revert: bool = False, dry_run: bool = False) -> Forgetting:
    """Erase a version; of one that was erased already, what is left of its bytes in the database's files.

    Args:
        manager: the registry.
        reference: which version.
        reason: kept for good, so it must not hold what is to be erased.
        revert: take it off the models that have it first.
        dry_run: check everything and change nothing.

    Raises:
        UsageError: there is no reason, or it is more than a line.
        NotFoundError: there is no such version.
        ConflictError: a model has it, or stands on a generation made with it; nothing was erased.
        BusyError: another process uses it or the database.
        StorageError: the disk is read-only or failing.
    """
    if not reason.strip() or not reason.isprintable():
        raise UsageError("a version is forgotten for a reason, in one line", hint='give --reason "…"; it is kept')
    try:
        version = manager.registry.version(reference)
    except ForgottenError as before:
        return _again(manager, before.record, dry_run=dry_run)
    requests = manager.registry.edits(version.digest)
    models = manager.registry.applied_to(version.digest)
    if models and not revert:
        raise ConflictError(
            f"{version.reference} is applied to {', '.join(models)}",
            hint=f"`patchmgr revert {models[0]} {version.reference}` first, or give --revert",
        )
    generations = tuple(_carrying(manager, version.digest))
    _refuse_standing(manager, generations)
    gone = _own_blobs(manager, version)
    found = Forgetting(
        reference=version.reference,
        digest=version.digest,
        reason=reason,
        n_edits=version.n_edits,
        reverted=models,
        generations=tuple((generation.model, generation.number) for generation in generations),
        n_blobs=len(gone),
        freed_bytes=sum(file.size_bytes for file in version.files if file.sha256 in gone),
        traces=_shown(manager, _traces(manager, version, requests)),
        stays=left_elsewhere(manager, version, requests),
    )
    if dry_run:
        return found
    for model in models:
        manager.revert(model, [f"sha256:{version.digest}"], message=f"to forget {version.reference}")
    return _erase(manager, version, requests, found)


def find_forgotten(manager: Manager, reference: str) -> ForgottenRecord | None:
    """What is known of a version that was erased; None where the reference means anything else.

    Raises:
        UsageError: the text is no reference.
    """
    if is_folder(reference) or is_hub_reference(reference):
        return None
    with contextlib.suppress(NotFoundError):
        try:
            manager.registry.version(reference)
        except ForgottenError as error:
            return error.record
    return None


def _erase(manager: Manager, version: VersionRecord, requests: Sequence[EditRequest], found: Forgetting) -> Forgetting:
    clear_leftovers(manager)
    signature = manager.registry.signature(version.digest)
    own = {file.sha256 for file in version.files} | ({signature.sha256} if signature else set())
    with manager.registry.begin() as tx:
        generations = tuple(_carrying(tx, version.digest))
        _refuse_in_use(tx, version)
        for generation in generations:
            tx.remove_generation(generation.model, generation.number)
        tx.forget_version(version.digest, actor=manager.origin.actor, reason=found.reason)
        tx.record_event(
            manager.origin,
            "forget",
            objects=[
                EventObject("package", version.reference, version.digest),
                EventObject("reason", found.reason),
                *(EventObject("cleared", f"{each.model}/{each.number}", each.state_root) for each in generations),
            ],
        )
        for sha256 in own - tx.blob_digests():  # under the lock; a kill from here on leaves what a second call erases
            manager.registry.blobs.remove(sha256)
        tx.commit()
    for generation in generations:
        shutil.rmtree(generation.folder or "", ignore_errors=True)
    _remove(_traces(manager, version, requests))
    manager.registry.scrub()
    return replace(found, generations=tuple((each.model, each.number) for each in generations))


def _again(manager: Manager, record: ForgottenRecord, *, dry_run: bool) -> Forgetting:
    """What a call that was killed, or kept waiting, did not come to."""
    traces = copies(manager)
    if not dry_run:
        _remove(traces)
        manager.registry.scrub()
    return Forgetting(
        record.reference, record.digest, record.reason, record.n_edits, (), (), 0, 0, _shown(manager, traces), ()
    )


def _carrying(reads: Manager | Transaction, digest: str) -> Iterator[GenerationRecord]:
    """Generations made with a version that have a folder of their own; the current ones are among them."""
    registry = reads if not hasattr(reads, "registry") else reads.registry
    for model in registry.models():
        for generation in registry.generations(model.name):
            if digest in generation.packages and generation.status == "ready" and generation.folder is not None:
                yield generation


def _refuse_in_use(tx: Transaction, version: VersionRecord) -> None:
    models = tx.applied_to(version.digest)
    if models:
        raise ConflictError(
            f"{version.reference} was put on {', '.join(models)} meanwhile", hint="take it off, and run this again"
        )
    for model in tx.models():
        for generation in tx.generations(model.name):
            if generation.status == "pending" and version.digest in generation.packages:
                raise BusyError(
                    f"{generation.owner} puts {version.reference} on {model.name}", hint="wait for it to end"
                )


def _refuse_standing(manager: Manager, generations: Sequence[GenerationRecord]) -> None:
    """A model whose base is a generation made with the package would lose it."""
    folders = {Path(generation.folder or "").resolve(): generation for generation in generations}
    for model in manager.registry.models():
        generation = folders.get(Path(model.base.folder).resolve())
        if generation is not None:
            raise ConflictError(
                f"{model.name} stands on generation {generation.number} of {generation.model}, made with it",
                hint=f"`patchmgr model remove {model.name}` first",
            )


def _own_blobs(manager: Manager, version: VersionRecord) -> frozenset[str]:
    """Blobs that no other version, signature or editor has."""
    others = frozenset[str]()
    registry = manager.registry
    for name in registry.package_names():
        with contextlib.suppress(ForgottenError):
            others |= {
                file.sha256 for each in registry.versions(name) if each.digest != version.digest for file in each.files
            }
    others |= {signature.sha256 for digest, signature in registry.signatures().items() if digest != version.digest}
    others |= {file.sha256 for editor in registry.editors() for file in editor.files}
    signature = registry.signature(version.digest)
    return frozenset({file.sha256 for file in version.files} | ({signature.sha256} if signature else set())) - others


def _traces(manager: Manager, version: VersionRecord, requests: Sequence[EditRequest]) -> tuple[Path, ...]:
    """Files and folders of the home that hold something of it, or may, beside blobs and generations."""
    home = manager.settings.home
    withheld = [home / "withheld" / f"{file.sha256}.jsonl" for file in version.files if file.path == EDITS]
    answers = [home / "cache" / "answers"]
    beside = [path for path in (*withheld, *answers) if path.exists()]
    return (*beside, *scratch(manager, version, requests), *copies(manager))


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _shown(manager: Manager, paths: Sequence[Path]) -> tuple[str, ...]:
    home = manager.settings.home
    return tuple(str(path.relative_to(home)) if path.is_relative_to(home) else str(path) for path in paths)
