"""One generation in the making: its folder is written, then one transaction makes it the current one."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import PatchmgrError
from patchmgr.manager.recipe import find_kept, make_recipe
from patchmgr.manager.states import ModelState, remember
from patchmgr.ops.generation import KeptFileError, write_generation
from patchmgr.ops.stack import Stack, StackChange, root_of
from patchmgr_registry import EventObject, GenerationRecord, GivenUpError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

HEARTBEAT_S = 60.0
"""How often a writer shows that it lives; who cannot see it gives it up after ten minutes of silence."""


def write(
    manager: Manager, state: ModelState, stack: Stack, pending: GenerationRecord, folder: Path
) -> tuple[Mapping[str, str], int]:
    """Write the folder of a stack, showing signs of life; the digests of the touched tensors, and the bytes written.

    Raises:
        IntegrityError: the base or a package is not what it was, or a result is not what it must be.
        StorageError: the disk has not the room, is read-only or failing; nothing is left of the folder.
        GivenUpError: another process took this one for dead, and may have cleared the folder away.
    """
    with _beating(manager, pending) as check:

        def advance(done: int, total: int) -> None:
            manager.progress(done, total, "writing (bytes)")
            check()

        try:
            recipe = make_recipe(manager, state, stack, find_kept(manager, state, stack))
            try:
                results = write_generation(recipe, folder, advance)
            except KeptFileError:  # its folder was cleared away, or this file system has no hard links
                recipe = make_recipe(manager, state, stack, {})
                results = write_generation(recipe, folder, advance)
            remember(manager, Checkpoint.read(folder), state.fingerprint.with_tensors(results))
        except (OSError, PatchmgrError) as error:
            try:
                _show_life(manager, pending)
            except GivenUpError as given_up:  # what was being written was cleared away under our hands
                raise given_up from error
            except PatchmgrError:
                pass
            raise
    return results, recipe.written_bytes


def _show_life(manager: Manager, pending: GenerationRecord) -> None:
    with manager.registry.begin() as tx:
        tx.heartbeat(pending.model, pending.number)
        tx.commit()


@contextlib.contextmanager
def _beating(manager: Manager, pending: GenerationRecord) -> Iterator[Callable[[], None]]:
    """Show signs of life until the block ends, whatever it waits for: a thread does it, every minute.

    Yields:
        Raises GivenUpError once that was found out.
    """
    ended, given_up = threading.Event(), list[GivenUpError]()

    def beat() -> None:
        while not given_up and not ended.wait(HEARTBEAT_S):
            try:
                _show_life(manager, pending)
            except GivenUpError as error:
                given_up.append(error)
            except PatchmgrError:  # another writer, a server that is away: the next beat counts
                continue

    def check() -> None:
        if given_up:
            raise given_up[0]

    heart = threading.Thread(target=beat, name=f"heartbeat of {pending.model}@{pending.number}", daemon=True)
    heart.start()
    try:
        yield check
    finally:
        ended.set()
        heart.join()


def commit(
    manager: Manager,
    state: ModelState,
    change: StackChange,
    pending: GenerationRecord,
    folder: Path,
    results: Mapping[str, str],
) -> GenerationRecord:
    """Make a written generation the current one, with its event, at once."""
    model, root = state.record.name, root_of(state.fingerprint.with_tensors(results), change.stack)
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
                *(EventObject("conflict", words, None) for words in change.contradictions),
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
