"""One generation in the making: its folder is written, then one transaction makes it the current one."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import BusyError, PatchmgrError
from patchmgr.manager.states import ModelState, open_packages, remember
from patchmgr.ops import stack as stacks
from patchmgr.ops.generation import Expected, write_generation
from patchmgr.ops.stack import Stack, StackChange, state_root
from patchmgr.ops.sums import collect
from patchmgr_registry import EventObject, GenerationRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

HEARTBEAT_S = 60.0
"""How often a writer shows that it lives; another host gives it up after ten minutes of silence."""


def write(
    manager: Manager, state: ModelState, stack: Stack, pending: GenerationRecord, folder: Path
) -> Mapping[str, str]:
    """Write the folder of a stack, showing signs of life; returns the digests of the touched tensors.

    Raises:
        IntegrityError: the base or a package is not what it was, or a result is not what it must be.
        StorageError: the disk is full, read-only or failing; nothing is left of the folder.
    """
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
            with contextlib.suppress(BusyError), manager.registry.begin() as tx:  # another writer: the next beat counts
                tx.heartbeat(pending.model, pending.number)
                tx.commit()

    results = write_generation(state.base, sums, expected, folder, advance)
    remember(manager, Checkpoint.read(folder), state.fingerprint.with_tensors(results))
    return results


def _known_results(manager: Manager, state: ModelState, stack: Stack) -> Mapping[str, str]:
    """Digests that the touched tensors must have: as the same stack had them before, or as its last package says."""
    before = manager.registry.same_stack(state.record.base.key, stacks.digests(stack))
    if before is not None:
        return before.tensors
    for package in stack:
        if {*package.parent.packages, package.digest} == set(stacks.digests(stack)):
            return {tensor.name: tensor.after_sha256 for tensor in package.tensors}
    return {}


def commit(
    manager: Manager,
    state: ModelState,
    change: StackChange,
    pending: GenerationRecord,
    folder: Path,
    results: Mapping[str, str],
) -> GenerationRecord:
    """Make a written generation the current one, with its event, at once."""
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


def give_up(manager: Manager, model: str, number: int, folder: Path) -> None:
    """Leave nothing half-made behind, but never touch a generation that was committed after all.

    A registry that cannot be written now is mended by the next command.
    """
    with contextlib.suppress(PatchmgrError), manager.registry.begin() as tx:
        tx.fail_generation(model, number)  # raises when it is not pending any more
        tx.commit()
        shutil.rmtree(folder, ignore_errors=True)
