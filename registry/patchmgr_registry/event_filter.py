"""Which events are wanted: about what, by whom, when."""

from __future__ import annotations

from dataclasses import dataclass

from patchmgr_registry.events import Event, EventObject

VERSIONED = ("package", "added", "removed", "editor", "picked", "merged", "rebased", "continued", "reverted")
"""Kinds of objects that are versions of packages and editors."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What an event must be; a field that is None or empty asks nothing. Moments are texts as the registry's."""

    model: str | None = None
    package: str | None = None
    """A package or an editor: ``fixes`` for every version of it, or ``fixes@v3``."""
    actor: str | None = None
    actions: tuple[str, ...] = ()
    """One of these."""
    since: str | None = None
    """The first moment that counts."""
    before: str | None = None
    """The first moment that does not count any more."""
    first: int = 1
    """The first number that counts."""

    def fits(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return (
            (self.model is None or event.concerns("model", self.model))
            and (self.package is None or any(map(self._is_package, event.objects)))
            and self.actor in (None, event.actor)
            and (not self.actions or event.action in self.actions)
            and event.sequence >= self.first
            and (self.since is None or event.time >= self.since)
            and (self.before is None or event.time < self.before)
        )

    def _is_package(self, thing: EventObject) -> bool:
        name = self.package or ""
        return thing.kind in VERSIONED and (thing.name == name or thing.name.startswith(f"{name}@v"))
