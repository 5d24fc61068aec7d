"""What can be asked of the audit trail; a manager hands it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.manager.audit import trail
from patchmgr_registry import Anchor, Event, EventFilter

if TYPE_CHECKING:
    from patchmgr.manager.audit.anchors import Anchored
    from patchmgr.manager.audit.attest import Attested
    from patchmgr.manager.audit.between import Between
    from patchmgr.manager.audit.carriers import Carrier
    from patchmgr.manager.audit.export import Exported
    from patchmgr.manager.audit.facts import Facts
    from patchmgr.manager.audit.past import PastState
    from patchmgr.manager.audit.signers import Signers
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.write_out import WrittenOut


class Audit:
    """The verbs; each lives in a file of its own."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def pages(self, wanted: EventFilter, *, limit: int | None = None) -> Iterator[tuple[Event, ...]]:
        """Events of a kind, a page at a time; see :func:`patchmgr.manager.audit.trail.event_pages`."""
        return trail.event_pages(self._manager, wanted, limit=limit)

    def verify(self, anchors: Iterable[Anchor] = ()) -> trail.AuditReport:
        """Check the chain of events; see :func:`patchmgr.manager.audit.trail.verify_audit`."""
        return trail.verify_audit(self._manager, anchors)

    def export(self, file: Path, *, key: Path | None = None, first: int = 1, last: int | None = None) -> Exported:
        """Write the chain to a file; see :func:`patchmgr.manager.audit.export.export_trail`."""
        from patchmgr.manager.audit.export import export_trail

        return export_trail(self._manager, file, key=key, first=first, last=last)

    def anchor(self, *, file: Path | None = None, hub: str | None = None) -> Anchored:
        """Note where the chain ends; see :func:`patchmgr.manager.audit.anchors.make_anchor`."""
        from patchmgr.manager.audit.anchors import make_anchor

        return make_anchor(self._manager, file=file, hub=hub)

    def at(self, model: str, when: str) -> PastState:
        """What a model was; see :func:`patchmgr.manager.audit.past.state_at`."""
        from patchmgr.manager.audit.past import state_at

        return state_at(self._manager, model, when)

    def rebuild(self, past: PastState, folder: Path) -> WrittenOut:
        """Write a past state to a folder; see :func:`patchmgr.manager.audit.past.rebuild`."""
        from patchmgr.manager.audit.past import rebuild

        return rebuild(self._manager, past, folder)

    def fact(self, text: str, *, limit: int = 20) -> Facts:
        """Who put a fact in; see :func:`patchmgr.manager.audit.facts.find_facts`."""
        from patchmgr.manager.audit.facts import find_facts

        return find_facts(self._manager, text, limit=limit)

    def carriers(self, reference: str, *, past: bool = False) -> tuple[Carrier, ...]:
        """Which models carry a package; see :func:`patchmgr.manager.audit.carriers.carriers`."""
        from patchmgr.manager.audit.carriers import carriers

        return carriers(self._manager, reference, past=past)

    def changes(self, *, since: str | None = None, until: str | None = None, model: str | None = None) -> Between:
        """What changed between two moments; see :func:`patchmgr.manager.audit.between.changes_between`."""
        from patchmgr.manager.audit.between import changes_between

        return changes_between(self._manager, since=since, until=until, model=model)

    def attest(self, model: str, *, key: Path | None = None) -> dict[str, Any]:
        """Say what a model is; see :func:`patchmgr.manager.audit.attest.attest`."""
        from patchmgr.manager.audit.attest import attest

        return attest(self._manager, model, key=key)

    def check_attested(self, file: Path, model: str, signers: Signers) -> Attested:
        """Compare a model with an attestation; see :func:`patchmgr.manager.audit.attest.check_model`."""
        from patchmgr.manager.audit.attest import check_model

        return check_model(self._manager, file, model, signers)
