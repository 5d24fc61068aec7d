"""What is evaluated: a package on the state that it was made on, a model's stack, or a stack that would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint
from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.states import (
    ModelState,
    open_base,
    open_version,
    read_state,
    registered_fingerprint,
    stack_of,
)
from patchmgr.ops.stack import Stack, StackChange
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import EditPackage
from patchmgr.request import EditRequest
from patchmgr_registry import EventObject, ModelRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Subject:
    """Two states on one base, and the edits that are measured unless others are given."""

    name: str
    digest: str | None
    """Of a registered package."""
    base: Checkpoint
    known: Fingerprint
    """Of the base."""
    before: Stack
    after: Stack
    requests: tuple[EditRequest, ...]
    retained: tuple[tuple[Manifest, tuple[EditRequest, ...]], ...]
    """Packages whose retention is measured, with their edits."""
    retains: bool
    """It is a stack."""
    event_object: EventObject
    opened: Mapping[str, EditPackage]
    """Packages in folders, by digest; the registry has the others."""


def find_subjects(manager: Manager, references: Sequence[str]) -> tuple[Subject, ...]:
    """The subjects that a user named: one model, or packages.

    Raises:
        NotFoundError: there is no such model or package, or no base for it.
        UsageError: nothing is named, or a model among others.
    """
    models = {record.name for record in manager.registry.models()}
    if len(references) == 1 and references[0] in models:
        return (_of_model(manager, references[0]),)
    for text in references:
        if text in models:
            raise UsageError(f"{text!r} is a model, and others are named beside it", hint="evaluate it by itself")
    if not references:
        raise UsageError("nothing to evaluate is named", hint="give packages, or a model")
    return tuple(_of_package(manager, text) for text in references)


def would_be(manager: Manager, model: str, references: Sequence[str]) -> Subject:
    """A model as it would be with some packages on top, against itself as it is.

    Raises:
        PatchmgrError: what ``apply`` would raise before it writes.
    """
    from patchmgr.manager.wanted import addition

    state = read_state(manager, model)
    change = addition(manager, references)(state)
    folders = {package.manifest.digest: package for package in map(_in_folder, filter(is_folder, references))}
    return after(manager, state, change, folders)


def after(
    manager: Manager, state: ModelState, change: StackChange, folders: Mapping[str, EditPackage] | None = None
) -> Subject:
    """A model as a change would leave it, against itself as it is.

    Args:
        manager: the registry.
        state: of the model.
        change: of its stack.
        folders: packages that are not in the registry, by digest.
    """
    opened = folders or {}
    edits = {
        manifest.digest: opened[manifest.digest].requests
        if manifest.digest in opened
        else manager.registry.edits(manifest.digest)
        for manifest in change.stack
    }
    return _of_stacks(state, state.stack, change.stack, edits, change.added or change.stack, opened)


def _of_model(manager: Manager, model: str) -> Subject:
    state = read_state(manager, model)
    edits = {manifest.digest: manager.registry.edits(manifest.digest) for manifest in state.stack}
    return _of_stacks(state, (), state.stack, edits, state.stack, {})


def _of_stacks(
    state: ModelState,
    before: Stack,
    after: Stack,
    edits: Mapping[str, tuple[EditRequest, ...]],
    asked: Stack,
    opened: Mapping[str, EditPackage],
) -> Subject:
    return Subject(
        name=state.record.name,
        digest=None,
        base=state.base,
        known=state.fingerprint,
        before=before,
        after=after,
        requests=tuple(request for manifest in asked for request in edits[manifest.digest]),
        retained=tuple((manifest, edits[manifest.digest]) for manifest in after),
        retains=True,
        event_object=EventObject("model", state.record.name, state.root),
        opened=opened,
    )


def _of_package(manager: Manager, text: str) -> Subject:
    package = _in_folder(text) if is_folder(text) else open_version(manager, manager.registry.version(text))
    manifest = package.manifest
    registered = manager.registry.version_by_digest(manifest.digest)
    record = model_on(manager, manifest)
    known = registered_fingerprint(manager, record.base)
    missing = [digest for digest in manifest.parent.packages if manager.registry.version_by_digest(digest) is None]
    if missing:
        raise NotFoundError(
            f"{manifest.reference} was computed on {len(missing)} package(s) that are not here ({missing[0][:12]}…)",
            hint="take those into the registry first",
        )
    below = stack_of(manager, manifest.parent.packages)
    return Subject(
        name=manifest.reference,
        digest=manifest.digest if registered else None,
        base=open_base(manager, record, known),
        known=known,
        before=below,
        after=(*below, manifest),
        requests=package.requests,
        retained=(),
        retains=False,
        event_object=EventObject("package", manifest.reference, manifest.digest),
        opened={manifest.digest: package},
    )


def _in_folder(text: str) -> EditPackage:
    return EditPackage.read(folder_of(text))


def model_on(manager: Manager, manifest: Manifest) -> ModelRecord:
    """A model on the base that a package was made for; any will do, for they share its bytes."""
    for record in manager.registry.models():
        base = record.base
        same = (base.fingerprint, base.tokenizer_sha256) == (manifest.base.fingerprint, manifest.base.tokenizer_sha256)
        if same and base.config_sha256 == manifest.base.config_sha256:
            return record
    raise NotFoundError(
        f"no model here stands on the base of {manifest.reference} ({manifest.base.source}, "
        f"{manifest.base.fingerprint[:12]})",
        hint=f"`patchmgr model add NAME {manifest.base.source}` first",
    )
