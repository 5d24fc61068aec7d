"""The database and the chain of events in it."""

from __future__ import annotations

from collections.abc import Iterator

from patchmgr.errors import IntegrityError
from patchmgr.manager.aftermath import clear_leftovers
from patchmgr.manager.audit.trail import verify_audit
from patchmgr.manager.fsck.contract import Inspection, Problem, rows


def clear_away(inspection: Inspection) -> Iterator[Problem]:
    """What dead processes left is cleared away, as any change would do first; what a live one writes is noted."""
    registry = inspection.manager.registry
    stale = rows(registry.stale_generations)
    clear_leftovers(inspection.manager)
    left = rows(registry.stale_generations)
    inspection.mended += [
        f"cleared away generation {generation.number} of {generation.model}, which {generation.owner} left unfinished"
        for generation in stale
        if generation not in left
    ]
    for record in inspection.models():
        inspection.busy += [
            f"{generation.owner} writes generation {generation.number} of {generation.model}"
            for generation in rows(registry.generations, record.name)
            if generation.status == "pending"
        ]
    yield from ()


def check_database(inspection: Inspection) -> Iterator[Problem]:
    """The database's own test of its pages, its references and its triggers."""
    inspection.n_checked["database"] += 1
    registry = inspection.manager.registry
    for line in registry.check_database():
        yield Problem(
            "database", registry.dialect.place, line, "restore a backup of the registry; it is not safe to go on"
        )


def check_events(inspection: Inspection) -> Iterator[Problem]:
    """Every link of the chain."""
    try:
        inspection.n_checked["events"] += verify_audit(inspection.manager).n_events
    except IntegrityError as error:
        yield Problem("events", "audit trail", error.message, error.hint)
