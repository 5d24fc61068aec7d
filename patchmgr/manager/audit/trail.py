"""The trail: events by what they are about, by whom and when, and whether the chain that they form still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError
from patchmgr_registry import Anchor, Event, EventFilter

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class AuditReport:
    """A chain that holds: its length, and the hash that stands for all of it."""

    n_events: int
    head_sha256: str
    n_anchors: int = 0
    """Hashes noted elsewhere that it was compared with."""


def event_pages(manager: Manager, wanted: EventFilter, *, limit: int | None = None) -> Iterator[tuple[Event, ...]]:
    """Events, oldest first, a page at a time; with a limit the newest. A model that was removed still has its events.

    Raises:
        NotFoundError: there is no such model or package, and never was one; when the first page is asked for.
        IntegrityError: a row cannot be an event.
    """
    pages = manager.registry.event_pages(wanted, limit=limit)
    first = next(pages, None)
    if first is not None:
        yield first
        yield from pages
    elif wanted.model is not None and not _are_there(manager, EventFilter(model=wanted.model)):
        manager.registry.model(wanted.model)
    elif wanted.package is not None and not _are_there(manager, EventFilter(package=wanted.package)):
        manager.registry.version(wanted.package)


def events(manager: Manager, model: str | None, *, limit: int | None) -> tuple[Event, ...]:
    """The last events about a model, or all, oldest first.

    Raises:
        NotFoundError: there is no such model and never was one.
    """
    return tuple(event for page in event_pages(manager, EventFilter(model=model), limit=limit) for event in page)


def verify_audit(manager: Manager, anchors: Iterable[Anchor] = ()) -> AuditReport:
    """Check every link of the chain, and that it is what was noted elsewhere.

    Raises:
        IntegrityError: an event was changed, removed, inserted or reordered; names the first.
    """
    noted = tuple(anchors)
    problem = manager.registry.verify_events(noted)
    if problem is not None:
        raise IntegrityError(
            f"the audit trail is broken: {problem.message}",
            hint="compare with a backup of the registry; nothing before that event is affected",
        )
    head = manager.registry.event_head()
    return AuditReport(head.sequence, head.sha256, len(noted))


def _are_there(manager: Manager, wanted: EventFilter) -> bool:
    return next(manager.registry.event_pages(wanted, limit=1), None) is not None
