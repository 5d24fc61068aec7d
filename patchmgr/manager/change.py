"""Changing what a model is: plan, apply and revert. Every change makes a new generation; none alters an old one."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import PatchmgrError
from patchmgr.manager.aftermath import clear_leftovers, notify, point_current
from patchmgr.manager.packages import adopt, is_folder
from patchmgr.manager.states import ModelState, find_manifests, open_packages, read_state
from patchmgr.ops import stack as stacks
from patchmgr.ops.generation import Expected, write_generation
from patchmgr.ops.plan import Plan, make_plan
from patchmgr.ops.stack import Stack, StackChange, state_root
from patchmgr.ops.sums import collect
from patchmgr.package.manifest import Manifest
from patchmgr_registry import Action, EventObject, GenerationRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


HEARTBEAT_S = 60.0
"""How often a writer shows that it lives; another host gives it up after ten minutes of silence."""


@dataclass(frozen=True)
class Outcome:
    """What a change came to."""

    model: str
    changed: bool
    """False when the model was already as wanted; then nothing was written."""
    generation: int
    state_root: str
    folder: Path
    stack: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    written_bytes: int


def plan(manager: Manager, model: str, references: Sequence[str]) -> Plan:
    """What applying these packages would do; raises what :func:`apply` would."""
    state = read_state(manager, model)
    return make_plan(state.base, _addition(manager, references)(state))


def apply(manager: Manager, model: str, references: Sequence[str], *, message: str = "") -> Outcome:
    """Put packages on top of a model's stack, or exchange their versions.

    Raises:
        NotFoundError: no such model or package.
        BaseMismatchError: a package was made for another base.
        ConflictError: a package was computed on others that are not there.
        IntegrityError: a byte of the base or of a package is not what its digest says.
        BusyError: another process is changing the model.
        StorageError: the disk is full, read-only or failing; the model is as it was.
    """
    manager.registry.model(model)
    for text in filter(is_folder, references):
        adopt(manager, Path(text).expanduser())
    return _change(manager, model, "apply", _addition(manager, references), message)


def revert(
    manager: Manager, model: str, references: Sequence[str], *, cascade: bool = False, message: str = ""
) -> Outcome:
    """Take packages out of a model's stack, wherever they lie in it: the rest is built anew from the base.

    Args:
        manager: the registry.
        model: the model to change.
        references: packages in its stack; a bare name means the version that is applied.
        cascade: take out those computed on them too.
        message: why, for the history.

    Raises:
        NotFoundError: no such model or package, or it is not applied.
        ConflictError: others were computed on one of them.
        IntegrityError: as for :func:`apply`.
        BusyError: as for :func:`apply`.
        StorageError: as for :func:`apply`.
    """

    def removal(state: ModelState) -> StackChange:
        leaving = [manifest for text in references for manifest in _applied(manager, state.stack, text)]
        return stacks.remove(state.stack, leaving, cascade=cascade)

    return _change(manager, model, "revert", removal, message)


def _addition(manager: Manager, references: Sequence[str]) -> Callable[[ModelState], StackChange]:
    def addition(state: ModelState) -> StackChange:
        manifests = find_manifests(manager, references)
        for manifest in manifests:
            stacks.check_base(manifest, state.fingerprint, model=state.record.name)
        return stacks.add(state.stack, manifests)

    return addition


def _applied(manager: Manager, stack: Stack, text: str) -> Sequence[Manifest]:
    named = [manifest for manifest in stack if manifest.name == text]
    return named or find_manifests(manager, [text])


def _change(
    manager: Manager, model: str, action: Action, wanted: Callable[[ModelState], StackChange], message: str
) -> Outcome:
    clear_leftovers(manager)
    with manager.registry.begin() as tx:  # no other writer until the number is reserved
        state = read_state(manager, model)
        change = wanted(state)
        if stacks.digests(change.stack) == stacks.digests(state.stack) and state.folder.is_dir():
            point_current(manager, model, state.folder)
            return _outcome(state.generation, change, state.folder, changed=False, written_bytes=0)
        pending = tx.begin_generation(model, action=action, packages=stacks.digests(change.stack), message=message)
        tx.commit()
    folder = manager.settings.generations(model) / str(pending.number)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        results = _write(manager, state, change.stack, pending, folder)
        record = _commit(manager, state, change, pending, folder, results)
    except BaseException:
        _give_up(manager, model, pending.number, folder)
        raise
    point_current(manager, model, folder)
    notify(manager, action, model, stacks.digests(change.stack), record.state_root or "")
    written_bytes = make_plan(state.base, change).written_bytes
    return _outcome(record, change, folder, changed=True, written_bytes=written_bytes)


def _write(
    manager: Manager, state: ModelState, stack: Stack, pending: GenerationRecord, folder: Path
) -> Mapping[str, str]:
    sums = collect(open_packages(manager, stack), manager.plugins.encodings, state.base)
    expected = Expected(
        before={name: state.fingerprint.tensors[name].sha256 for name in sums},
        after=_known_results(manager, state, stack),
    )
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        manager.progress(done, total, "writing (bytes)")
        if time.monotonic() - last > HEARTBEAT_S:
            last = time.monotonic()
            with manager.registry.begin() as tx:
                tx.heartbeat(pending.model, pending.number)
                tx.commit()

    return write_generation(state.base, sums, expected, folder, advance)


def _known_results(manager: Manager, state: ModelState, stack: Stack) -> Mapping[str, str]:
    """Digests that the touched tensors must have: as the same stack had them before, or as its last package says."""
    before = manager.registry.same_stack(state.record.base.key, stacks.digests(stack))
    if before is not None:
        return before.tensors
    for package in stack:
        if {*package.parent.packages, package.digest} == set(stacks.digests(stack)):
            return {tensor.name: tensor.after_sha256 for tensor in package.tensors}
    return {}


def _commit(
    manager: Manager,
    state: ModelState,
    change: StackChange,
    pending: GenerationRecord,
    folder: Path,
    results: Mapping[str, str],
) -> GenerationRecord:
    model, root = state.record.name, state_root(state.fingerprint.with_tensors(results))
    packages = [EventObject("package", manifest.reference, manifest.digest) for manifest in change.stack]
    moved = [("added", change.added), ("removed", change.removed)]
    with manager.registry.begin() as tx:
        record = tx.finish_generation(model, pending.number, state_root=root, folder=str(folder), tensors=results)
        tx.set_current(model, pending.number)
        tx.record_event(
            manager.origin,
            pending.action,
            objects=[
                EventObject("model", model, root),
                EventObject("generation", str(pending.number), root),
                *packages,
                *(
                    EventObject(kind, manifest.reference, manifest.digest)
                    for kind, stack in moved
                    for manifest in stack
                ),
            ],
            scores=[asdict(score) for manifest in change.added for score in tx.scores(manifest.digest)],
        )
        tx.commit()
    return record


def _give_up(manager: Manager, model: str, number: int, folder: Path) -> None:
    """Leave nothing half-made behind, but never touch a generation that was committed after all.

    A registry that cannot be written now is mended by the next command.
    """
    with contextlib.suppress(PatchmgrError), manager.registry.begin() as tx:
        tx.fail_generation(model, number)  # raises when it is not pending any more
        tx.commit()
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(
    record: GenerationRecord, change: StackChange, folder: Path, *, changed: bool, written_bytes: int
) -> Outcome:
    def references(stack: Stack) -> tuple[str, ...]:
        return tuple(manifest.reference for manifest in stack)

    return Outcome(
        model=record.model,
        changed=changed,
        generation=record.number,
        state_root=record.state_root or "",
        folder=folder,
        stack=references(change.stack),
        added=references(change.added),
        removed=references(change.removed),
        written_bytes=written_bytes,
    )
