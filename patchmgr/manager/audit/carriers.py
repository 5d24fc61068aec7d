"""Which models carry a package, and since when, as the trail says; and which carried it once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchmgr.errors import BusyError, IntegrityError, NotFoundError
from patchmgr.manager.audit.past import MOVES, REMOVED
from patchmgr_registry import Event, EventFilter, ForgottenError, Reference

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_MOST_TRIES = 20
"""Looks at the trail and the models, where somebody changes a model between the one and the other."""


@dataclass(frozen=True)
class Carrier:
    """A model that has, or had, a version in its stack without a break."""

    model: str
    reference: str
    digest: str
    since: Event
    """The change that put it in; its scores are those that it was based on."""
    until: Event | None = None
    """The change that took it out; None: it is there now."""


def carriers(manager: Manager, reference: str, *, past: bool = False) -> tuple[Carrier, ...]:
    """Who carries a package, or carried one that was forgotten since.

    Args:
        manager: the registry.
        reference: one version, or a bare name for all versions of a package.
        past: also who carries it no more.

    Raises:
        NotFoundError: there is no such package, and never was one.
        IntegrityError: the trail and the models contradict each other.
        BusyError: they are changed too often to be compared.
    """
    package, digests = _named(manager, reference)
    for _ in range(_MOST_TRIES):
        head = manager.registry.event_head()
        found = _spans(manager, package, digests)
        current = {(span.model, span.digest) for span in found if span.until is None}
        carrying = {(model, digest) for digest in digests for model in manager.registry.applied_to(digest)}
        if current == carrying:
            return tuple(span for span in found if past or span.until is None)
        if manager.registry.event_head() == head:  # nobody changed a model between the two looks
            model, _digest = min(current ^ carrying)
            raise IntegrityError(
                f"the trail and the registry say different things of {model} and {reference}",
                hint="run `patchmgr audit verify` and `patchmgr fsck`",
            )
    raise BusyError("models are changed faster than the trail is read", hint="run it again")


def _named(manager: Manager, reference: str) -> tuple[str, Collection[str]]:
    """What the events call a version or all versions of a package, and the digests; of forgotten ones too."""
    if "@" in reference or ":" in reference:
        wanted = Reference.parse(reference)
        try:
            version = manager.registry.version(wanted)
            return version.reference, {version.digest}
        except ForgottenError as error:
            if wanted.number is None and wanted.digest is None:  # a tag, and forgotten versions have none
                raise
            return error.record.reference, {error.record.digest}
    forgotten = {record.digest for record in manager.registry.forgotten() if record.package == reference}
    try:
        return reference, forgotten | {version.digest for version in manager.registry.summaries(reference)}
    except NotFoundError:
        if not forgotten:
            raise
        return reference, forgotten


def _spans(manager: Manager, package: str, digests: Collection[str]) -> list[Carrier]:
    """When models had versions, in the order in which they got them."""
    done: list[Carrier] = []
    standing: dict[tuple[str, str], int] = {}

    def end(key: tuple[str, str], event: Event) -> None:
        place = standing.pop(key, None)
        if place is not None:
            done[place] = replace(done[place], until=event)

    for event in _moves(manager, package):
        for model in event.of_kind("model"):
            if event.action == REMOVED:
                for key in [key for key in standing if key[0] == model.name]:
                    end(key, event)
            for thing in event.of_kind("removed"):
                end((model.name, thing.digest or ""), event)
            for thing in event.of_kind("added"):
                if thing.digest is not None and thing.digest in digests:
                    standing[model.name, thing.digest] = len(done)
                    done.append(Carrier(model.name, thing.name, thing.digest, event))
    return done


def _moves(manager: Manager, package: str) -> list[Event]:
    """Changes of models that put this package in or take it out, and removals of models, in their order."""
    about = manager.registry.event_pages(EventFilter(package=package, actions=MOVES))
    moved = [
        event
        for page in about
        for event in page
        if any(_is_of(thing.name, package) for kind in ("added", "removed") for thing in event.of_kind(kind))
    ]
    gone = [event for page in manager.registry.event_pages(EventFilter(actions=(REMOVED,))) for event in page]
    return sorted([*moved, *gone], key=lambda event: event.sequence)


def _is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}@v")
