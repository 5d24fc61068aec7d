"""Who put a fact in: the edit, its version, who made it on which scores, and which models have it since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.audit.carriers import Carrier, carriers
from patchmgr.manager.search import search
from patchmgr_registry import Event, EventFilter, ForgottenError, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.request import EditRequest

MEASURES = ("evaluate", "harness")
"""Actions that measure a version later."""


@dataclass(frozen=True)
class Origin:
    """Where a version comes from, and what became of it."""

    version: VersionRecord
    event: Event | None
    """What brought it into this registry, with the scores of that moment; None: no event says so."""
    measured: tuple[Event, ...]
    """Later evaluations."""
    carriers: tuple[Carrier, ...]
    """Models that have it, each with the change that put it in."""

    @property
    def scores(self) -> tuple[Mapping[str, Any], ...]:
        """Those that it came with."""
        return () if self.event is None else self.event.scores


@dataclass(frozen=True)
class Fact:
    """An edit that says it, or a version whose author withheld its edits."""

    origin: Origin
    position: int
    """Its place among the edits of the version, from 0."""
    request: EditRequest | None
    """None: withheld."""


@dataclass(frozen=True)
class Facts:
    """What was found, newest versions first."""

    facts: tuple[Fact, ...]
    more: bool
    """Whether there is more than was asked for."""


def find_facts(manager: Manager, text: str, *, limit: int = 20) -> Facts:
    """The edits that hold every word of a text, or those of a version, with where they come from.

    Args:
        manager: the registry.
        text: words of prompts or targets, or a reference such as ``fixes@v3``.
        limit: how many edits at most.

    Raises:
        NotFoundError: it names no version, and no edit holds the words.
        ForgottenError: that version was erased.
        UsageError: there is no word in the text.
        IntegrityError: the trail and the models contradict each other.
    """
    version, unknown = _named(manager, text)
    if version is not None:
        requests = manager.registry.edits(version.digest, limit=limit + 1)
        origin = _origin(manager, version)
        found = [Fact(origin, position, request) for position, request in enumerate(requests)]
        found = found or [Fact(origin, 0, None)]
        return Facts(tuple(found[:limit]), len(found) > limit)
    hits = search(manager, text, limit=limit)
    if not hits.edits:
        told = f"no edit holds the words {text!r}{unknown}"
        raise NotFoundError(told, hint="fewer words find more; so does `patchmgr blame`")
    origins = {hit.digest: hit for hit in hits.edits}
    known = {digest: _origin(manager, _version(manager, digest)) for digest in origins}
    return Facts(tuple(Fact(known[hit.digest], hit.position, hit.request) for hit in hits.edits), hits.more)


def _named(manager: Manager, text: str) -> tuple[VersionRecord | None, str]:
    """The version that a text with an ``@`` names; None, with the reason, where it may be words, such as an address."""
    if "@" not in text or " " in text:
        return None, ""
    try:
        return manager.registry.version(text), ""
    except ForgottenError:
        raise
    except (NotFoundError, UsageError) as error:
        return None, f", and {error.message}"


def _version(manager: Manager, digest: str) -> VersionRecord:
    found = manager.registry.version_by_digest(digest)
    if found is None:
        raise NotFoundError(f"the package {digest[:12]}… was removed meanwhile", hint="run it again")
    return found


def _origin(manager: Manager, version: VersionRecord) -> Origin:
    brought, measured = None, []
    for page in manager.registry.event_pages(EventFilter(package=version.reference)):
        for event in page:
            if all(thing.digest != version.digest for thing in event.of_kind("package")):
                continue
            brought = brought or event
            if event.action in MEASURES:
                measured.append(event)
    return Origin(version, brought, tuple(measured), carriers(manager, version.reference))
