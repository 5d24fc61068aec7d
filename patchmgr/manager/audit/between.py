"""What changed between two moments: each model before and after, and every event in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.manager.audit.moments import begin_of, check_range, end_of
from patchmgr.manager.audit.past import TURNS, PastState, advanced
from patchmgr.manager.audit.trail import event_pages
from patchmgr_registry import Event, EventFilter, EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class ModelChange:
    """A model that is not at the end what it was at the beginning."""

    model: str
    before: PastState | None
    """None: it was not there."""
    after: PastState | None

    @property
    def added(self) -> tuple[EventObject, ...]:
        """Packages that are there at the end and were not."""
        return _without(self.after, self.before)

    @property
    def removed(self) -> tuple[EventObject, ...]:
        """Packages that were there and are not."""
        return _without(self.before, self.after)


@dataclass(frozen=True)
class Between:
    """What happened in a time."""

    models: tuple[ModelChange, ...]
    """By name; a model that was changed and changed back is none of them."""
    events: Iterator[tuple[Event, ...]]
    """All of it, a page at a time."""


def changes_between(
    manager: Manager, *, since: str | None = None, until: str | None = None, model: str | None = None
) -> Between:
    """What changed from the beginning of one day (or moment) to the end of another.

    Args:
        manager: the registry.
        since: None: from the first event on.
        until: None: to the last.
        model: only this one.

    Raises:
        UsageError: one is no date, or they are the wrong way round.
        NotFoundError: there never was such a model.
        IntegrityError: an event cannot be read.
    """
    check_range(since, until)
    begin, end = begin_of(since) if since else None, end_of(until) if until else None
    now: dict[str, PastState | None] = {}
    before: dict[str, PastState | None] = {}
    after: dict[str, PastState | None] = {}
    for page in event_pages(manager, EventFilter(model=model, actions=TURNS)):
        for event in page:  # the order is that of the chain, for a clock may have been set back
            for thing in event.of_kind("model"):
                now[thing.name] = advanced(now.get(thing.name), thing.name, until or "", event)
                if begin is not None and event.time < begin:
                    before[thing.name] = now[thing.name]
                if end is None or event.time < end:
                    after[thing.name] = now[thing.name]
    changed = (ModelChange(name, before.get(name), after[name]) for name in sorted(after))
    models = tuple(change for change in changed if _root(change.before) != _root(change.after))
    return Between(models, event_pages(manager, EventFilter(model=model, since=begin, before=end)))


def _root(state: PastState | None) -> str | None:
    return None if state is None else state.state_root


def _without(one: PastState | None, other: PastState | None) -> tuple[EventObject, ...]:
    there = {thing.digest for thing in other.stack} if other else set()
    return tuple(thing for thing in (one.stack if one else ()) if thing.digest not in there)
