"""Forgetting: a version's texts and payload are erased, and what it was known by, who erased it and why stay.

For what must not be kept, such as the data of a person in an edit. The rows of its edits, manifest, message, files and
scores go, its blobs unless another package has them, the folders of old generations that were made with it, what killed
commands left of it, answers that were kept, and copies of the database from before an upgrade or a restore; then the
database is written anew, so that no freed page holds a word of it (:mod:`patchmgr.manager.erasing`). Events are never
changed: they hold digests and names, and no texts (:mod:`patchmgr.manager.redacting`). What is beyond this home, or is
another's, is told and left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import BusyError, ConflictError, NotFoundError, UsageError
from patchmgr.hub.reference import is_hub_reference
from patchmgr.manager.aftermath import clear_leftovers
from patchmgr.manager.erasing import Doomed, findable, folders, note, noted, take_away
from patchmgr.manager.forget_traces import left_behind, left_elsewhere
from patchmgr.manager.packages import is_folder
from patchmgr.manager.states import has_own_folder
from patchmgr_registry import EventObject, ForgottenError, ForgottenRecord, GenerationRecord, Reference, VersionRecord

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
        UsageError: there is no reason, or it is more than a line; or the name alone stands for several versions.
        NotFoundError: there is no such version.
        ConflictError: a model has it, or stands on a generation made with it; nothing was erased.
        BusyError: another process uses it or the database.
        StorageError: the disk is read-only or failing; or some of it cannot be deleted, and all else is gone.
    """
    if not reason.strip() or not reason.isprintable():
        raise UsageError("a version is forgotten for a reason, in one line", hint='give --reason "…"; it is kept')
    try:
        _refuse_several(manager, reference)
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
    gone = manager.registry.own_blobs(version.digest)
    traces = (*left_behind(manager, version, requests), *findable(manager, version.digest))
    found = Forgetting(
        reference=version.reference,
        digest=version.digest,
        reason=reason,
        n_edits=version.n_edits,
        reverted=models,
        generations=tuple((each.model, each.number) for each in generations if has_own_folder(manager, each)),
        n_blobs=len(gone),
        freed_bytes=sum(file.size_bytes for file in version.files if file.sha256 in gone),
        traces=_shown(manager, traces),
        stays=left_elsewhere(manager, version, requests, generations),
    )
    if dry_run:
        return found
    for model in models:
        manager.revert(model, [f"sha256:{version.digest}"], message=f"to forget {version.reference}")
    return _erase(manager, version, requests, found)


def _refuse_several(manager: Manager, reference: str) -> None:
    """A name alone is the newest version elsewhere; what cannot be undone asks which."""
    package = Reference.parse(reference).package
    if package != reference:  # a number, a tag, a digest or @latest was named
        return
    versions = [version.reference for version in manager.registry.summaries(package, limit=5)]
    if len(versions) > 1:
        raise UsageError(
            f"{reference} has several versions, and what is forgotten does not come back",
            hint=f"name one, such as {' or '.join(versions)}",
        )


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
    traces = (*left_behind(manager, version, requests), *findable(manager, version.digest))
    with manager.registry.begin() as tx:
        generations = tuple(_carrying(tx, version.digest))
        _refuse_in_use(tx, version)
        signature = tx.signature(version.digest)
        blobs = {file.sha256 for file in version.files} | ({signature.sha256} if signature else set())
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
        note(manager, version.digest, Doomed(blobs=tuple(sorted(blobs)), paths=_shown(manager, traces)))
        tx.commit()
    take_away(manager, version.reference, version.digest)
    own = tuple((each.model, each.number) for each in generations if has_own_folder(manager, each))
    return replace(found, generations=own)


def _again(manager: Manager, record: ForgottenRecord, *, dry_run: bool) -> Forgetting:
    """What a call that was killed, or kept waiting, did not come to."""
    doomed, home = noted(manager, record.digest), manager.settings.home
    half_gone = (home / path for path in doomed.paths)
    traces = dict.fromkeys((*filter(Path.exists, half_gone), *findable(manager, record.digest)))
    generations = tuple(folders(manager, record.digest))
    blobs = set(doomed.blobs) - manager.registry.blob_digests()
    sizes = [size for sha256 in blobs if (size := manager.registry.blobs.size(sha256)) is not None]
    if not dry_run:
        take_away(manager, record.reference, record.digest)
    return Forgetting(
        record.reference, record.digest, record.reason, record.n_edits, (), generations, len(sizes),
        sum(sizes), _shown(manager, tuple(traces)), (),
    )  # fmt: skip


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


def _shown(manager: Manager, paths: Sequence[Path]) -> tuple[str, ...]:
    """By their places in the home, where all of them lie."""
    return tuple(path.relative_to(manager.settings.home).as_posix() for path in paths)
