"""What a model was at a moment, as the trail says, and that state written again byte for byte.

The events are asked and not the table of generations: they are chained, and they outlive a model that was removed. The
last event that is not later than the moment decides, in the order of the chain.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError, NotFoundError
from patchmgr.manager.audit.moments import end_of
from patchmgr.manager.audit.trail import event_pages
from patchmgr.manager.states import ModelState, open_base, registered_fingerprint, stack_of
from patchmgr.manager.write_out import WrittenOut, new_place, record_write_out, write_stack
from patchmgr.ops.stack import state_root
from patchmgr_registry import BaseRecord, Event, EventFilter, EventObject, GenerationRecord, ModelRecord, Owner

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

ADDED, REMOVED = "model-add", "model-remove"
MOVES = ("apply", "revert", "rollback", "sync")
"""Actions that make a generation."""
TURNS = (ADDED, *MOVES, REMOVED)
"""Actions after which a model is another."""


@dataclass(frozen=True)
class PastState:
    """What a model was."""

    model: str
    asked: str
    """The moment that was asked for, as it was written."""
    generation: int
    state_root: str
    base: EventObject
    """Its name, and the root of its weights."""
    base_root: str
    """The state root of the base, which covers config and tokenizer too."""
    stack: tuple[EventObject, ...]
    """The packages, in order."""
    event: Event
    """What made it so."""
    until: Event | None
    """What made it something else; None: it is so still."""


def state_at(manager: Manager, model: str, when: str) -> PastState:
    """What a model was at the end of a day, or at a moment.

    Raises:
        UsageError: ``when`` is no date.
        NotFoundError: there never was such a model, or it was not there then.
        IntegrityError: an event cannot be read.
    """
    bound, now, found, first, was_there = end_of(when), None, None, None, False
    for page in event_pages(manager, EventFilter(model=model, actions=TURNS)):
        for event in page:
            first, now = first or event, advanced(now, model, when, event)
            if event.time < bound:  # also behind a later one, where a clock was set back
                found, was_there = now, True
            elif found is not None and found.until is None:
                found = replace(found, until=event)
    if found is not None:
        return found
    if was_there or first is None:
        raise NotFoundError(f"{model} was not there on {when}: it had been removed", hint="ask for earlier")
    raise NotFoundError(f"{model} was not there on {when}: it was added at {first.time}", hint="ask for later")


def advanced(before: PastState | None, model: str, when: str, event: Event) -> PastState | None:
    """The state after an event about a model; None: it was removed."""
    if event.action == REMOVED or not event.of_kind("model"):
        return None
    root = event.of_kind("model")[0].digest or ""
    if event.action == ADDED:
        return PastState(model, when, 0, root, event.of_kind("base")[0], root, (), event, None)
    if before is None:
        raise IntegrityError(
            f"event {event.sequence} changed {model}, which no event added", hint="run `patchmgr audit verify`"
        )
    number, stack = int(event.of_kind("generation")[0].name), event.of_kind("package")
    return PastState(model, when, number, root, before.base, before.base_root, stack, event, None)


def rebuild(manager: Manager, past: PastState, destination: Path) -> WrittenOut:
    """Write a past state to a new folder, which shares no file with any other.

    Raises:
        NotFoundError: the base is not registered any more, or its folder is gone.
        ConflictError: the folder holds something.
        IntegrityError: a byte is not what it was, a package is gone, or the state is not the one that the trail names.
        StorageError: the disk has not the room, is read-only or failing.
    """
    state = _state(manager, past)
    folder = new_place(manager, state.base.folder, destination)
    root, written_bytes = write_stack(manager, state, state.stack, folder)
    if root != past.state_root:
        shutil.rmtree(folder, ignore_errors=True)
        raise IntegrityError(
            f"{past.model} on {past.asked} had the root {past.state_root[:12]}…, and comes out as {root[:12]}…",
            hint="run `patchmgr audit verify` and `patchmgr fsck --full`",
        )
    record_write_out(manager, past.model, root, state.stack)
    return WrittenOut(past.model, folder, root, tuple(thing.name for thing in past.stack), written_bytes)


def _state(manager: Manager, past: PastState) -> ModelState:
    """The state as operations take it; its rows need not be there any more."""
    base = _base(manager, past)
    known = registered_fingerprint(manager, base)
    time, digests = past.event.time, tuple(thing.digest or "" for thing in past.stack)
    record = ModelRecord(past.model, base, past.generation, time)
    owner = Owner(pid=0, host=past.event.host, started=None)
    generation = GenerationRecord(
        past.model, past.generation, "removed", "apply", past.state_root, None, digests, {}, "", time, owner, time
    )
    return ModelState(record, generation, open_base(manager, record, known), known, stack_of(manager, digests))


def _base(manager: Manager, past: PastState) -> BaseRecord:
    for base in manager.registry.bases(past.base.digest):
        if state_root(registered_fingerprint(manager, base)) == past.base_root:
            return base
    raise NotFoundError(
        f"the base of {past.model}, {past.base.name}, is not registered any more",
        hint=f"`patchmgr model add NAME {past.base.name}`: the same bytes are found again",
    )
