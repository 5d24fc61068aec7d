"""Tags: names that users give to versions, such as ``stable``. Each change of one is an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import UsageError
from patchmgr_registry import EventObject, Reference

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class TagChange:
    """What became of a tag."""

    package: str
    tag: str
    version: int | None
    """Where it is now; None: taken away."""
    previous: int | None
    """Where it was."""

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return self.version != self.previous


def tag(manager: Manager, reference: str, name: str, *, move: bool = False, dry_run: bool = False) -> TagChange:
    """Tag a version.

    Args:
        manager: the registry.
        reference: which version.
        name: the tag.
        move: take it from the version that it is on.
        dry_run: check everything and change nothing.

    Raises:
        NotFoundError: there is no such version.
        UsageError: the name could not be told from a number or a digest.
        ConflictError: the tag is on another version, and ``move`` was not asked for.
    """
    with manager.registry.begin() as tx:
        version = tx.version(reference)
        previous = tx.tags(version.package).get(name)
        tx.tag(version.reference, name, move=move)
        change = TagChange(version.package, name, version.number, previous)
        if change.changed and not dry_run:
            tx.record_event(
                manager.origin,
                "tag",
                objects=[
                    EventObject("package", version.reference, version.digest),
                    EventObject("tag", f"{version.package}@{name}", version.digest),
                ],
            )
            tx.commit()
    return change


def untag(manager: Manager, text: str, *, dry_run: bool = False) -> TagChange:
    """Take a tag away; the version stays.

    Args:
        manager: the registry.
        text: ``package@tag``.
        dry_run: check everything and change nothing.

    Raises:
        UsageError: it names no tag.
        NotFoundError: there is no such package or tag.
    """
    reference = Reference.parse(text)
    if reference.package is None or reference.tag is None:
        raise UsageError(f"{text!r} names no tag", hint="write NAME@TAG")
    with manager.registry.begin() as tx:
        version = tx.version(reference)
        tx.untag(version.package, reference.tag)
        if not dry_run:
            tx.record_event(
                manager.origin,
                "untag",
                objects=[
                    EventObject("package", version.reference, version.digest),
                    EventObject("tag", text, version.digest),
                ],
            )
            tx.commit()
    return TagChange(version.package, reference.tag, None, version.number)


def tags(manager: Manager, package: str | None = None) -> Mapping[str, Mapping[str, int]]:
    """The tags of a package, or of every package that has some: package to tag to version number.

    Raises:
        NotFoundError: there is no such package.
    """
    if package is None:
        return manager.registry.tagged()
    return {package: manager.registry.tags(manager.registry.version(Reference(package)).package)}
