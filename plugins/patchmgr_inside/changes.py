"""What a new version of a memory has to do: which entries went, which came, and which stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchmgr.methods.contract import EditContext
from patchmgr.package.memory.operations import Entry, Operation, entries_after, operations_after
from patchmgr.request import EditRequest


@dataclass(frozen=True)
class Changes:
    """From the version before to the next."""

    operations: tuple[Operation, ...]
    """All of them, old and new."""
    entries: tuple[Entry, ...]
    """What is remembered afterwards."""
    gone: tuple[str, ...]
    """Ids of entries of the version before that are not there any more, or say something else."""
    new: tuple[Entry, ...]
    """Entries that are there for the first time or say something else, in their order."""


def changes(requests: Sequence[EditRequest], context: EditContext) -> Changes:
    """What an order comes to.

    Raises:
        UsageError: an entry to forget is not there.
    """
    before = context.memory
    operations = operations_after(before.operations if before else (), requests, forget=context.forget)
    entries = entries_after(operations)
    old, now = {entry.id: entry for entry in (before.entries if before else ())}, {entry.id: entry for entry in entries}
    return Changes(
        operations,
        entries,
        tuple(name for name, entry in old.items() if now.get(name) != entry),
        tuple(entry for entry in entries if old.get(entry.id) != entry),
    )
