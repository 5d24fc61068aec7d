"""The audit trail: the events about a model, and whether the chain that they form still holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError
from patchmgr_registry import Event

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class AuditReport:
    """A chain that holds: its length, and the hash that stands for all of it."""

    n_events: int
    head_sha256: str


def events(manager: Manager, model: str | None, *, limit: int | None) -> tuple[Event, ...]:
    """The last events, oldest first; a model that was removed still has its events.

    Raises:
        NotFoundError: there is no such model and never was one.
    """
    found = manager.registry.events(model=model, limit=limit)
    if model is not None and not found:
        manager.registry.model(model)
    return found


def verify_audit(manager: Manager) -> AuditReport:
    """Check every link of the chain.

    Raises:
        IntegrityError: an event was changed, removed, inserted or moved; names the first.
    """
    problem = manager.registry.verify_events()
    if problem is not None:
        raise IntegrityError(
            f"the audit trail is broken: {problem.message}",
            hint="compare with a backup of the registry; nothing before that event is affected",
        )
    head = manager.registry.event_head()
    return AuditReport(head.sequence, head.sha256)
