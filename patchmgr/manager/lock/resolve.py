"""From requirements to versions: the newest that are allowed, fit the base, and go together.

What is locked already stays while it is allowed. A package that was computed on others is chosen only with exactly
those in the stack, so a newer version is passed over when what it stands on is not. The search tries the versions of
each place in its order of preference and goes back where a choice leads nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import BaseMismatchError, ConflictError, NotFoundError
from patchmgr.manager.lock.locate import locate
from patchmgr.manager.lock.lockfile import LockedModel
from patchmgr.manager.lock.on_hub import published
from patchmgr.manager.lock.patches import Patches, WantedModel, WantedPackage
from patchmgr.manager.lock.requirement import Candidate, Requirement
from patchmgr.manager.packages import folder_of
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import BaseRecord

_STEPS = 100_000
"""Choices that are tried before the search gives up."""


@dataclass(frozen=True)
class Place:
    """One package of the list, with the versions that will do, the preferred one first."""

    wanted: WantedPackage
    candidates: tuple[Candidate, ...]


def resolve(
    manager: Manager, patches: Patches, model: WantedModel, base: BaseRecord, locked: LockedModel | None
) -> tuple[Candidate, ...]:
    """The version of each package, in the order of the list.

    Args:
        manager: whose registry has the packages.
        patches: the file that wants them; folders are relative to it.
        model: what is wanted.
        base: what it stands on.
        locked: what was chosen before and stays where it is allowed; None: the newest everywhere.

    Raises:
        NotFoundError: there is no such package, tag or version, or what is locked is not here.
        BaseMismatchError: every version that is allowed was made for another base.
        ConflictError: no choice of versions goes together.
        IntegrityError: what is locked is another package here, or a package in a folder is not whole.
    """
    places = []
    for number, wanted in enumerate(model.packages):
        found = _candidates(manager, patches, wanted)
        kept = None if locked is None else _locked(manager, patches.folder, locked, model, number, found)
        preferred = [] if kept is None else [kept]
        fitting = [candidate for candidate in (*preferred, *found) if _fits(candidate, base)]
        if not fitting:
            raise BaseMismatchError(
                f"{found[0].reference} was made for the base {found[0].base_fingerprint[:12]}, "
                f"{model.name} shall stand on {base.fingerprint[:12]} ({base.source})",
                hint=f"no version of {wanted.requirement} fits; make one with `patchmgr edit` or `patchmgr rebase`",
            )
        places.append(Place(wanted, tuple(dict.fromkeys(fitting))))
    return choose(places)


def choose(places: Sequence[Place]) -> tuple[Candidate, ...]:
    """The first choice, by the order of preference of each place, in which every package stands on what it needs.

    Raises:
        ConflictError: there is none; says what the preferred versions lack.
    """
    chosen: list[Candidate] = []
    tried = [0] * len(places)
    for _ in range(_STEPS):
        at = len(chosen)
        if at == len(places):
            return tuple(chosen)
        while tried[at] < len(places[at].candidates):
            candidate = places[at].candidates[tried[at]]
            tried[at] += 1
            if _goes_with(candidate, chosen, places[at + 1 :]):
                chosen.append(candidate)
                break
        else:
            tried[at] = 0
            if not chosen:
                break
            chosen.pop()
    raise _no_choice(places)


def _goes_with(candidate: Candidate, chosen: Sequence[Candidate], later: Sequence[Place]) -> bool:
    """Whether a version can follow those chosen: what they all stand on is there or may still come."""
    stack = (*chosen, candidate)
    if any(other.package == candidate.package and other.digest not in candidate.below for other in chosen):
        return False
    there = {other.digest for other in stack}
    coming = {other.digest for place in later for other in place.candidates}
    return all(other.below <= there | coming for other in stack)


def _no_choice(places: Sequence[Place]) -> ConflictError:
    preferred = [place.candidates[0] for place in places]
    there = {candidate.digest for candidate in preferred}
    for candidate in preferred:
        missing = sorted(digest[:12] for digest in candidate.below - there)
        if missing:
            return ConflictError(
                f"{candidate.reference} was computed on {len(missing)} package(s) that would not be in the stack "
                f"({', '.join(missing)}), and no other choice of versions goes together",
                hint="list those packages too, allow other versions, or make it again on this state",
            )
    names = ", ".join(str(place.wanted.requirement) for place in places)
    return ConflictError(f"no versions of {names} go together", hint="a package is listed twice, or allow other ones")


def _candidates(manager: Manager, patches: Patches, wanted: WantedPackage) -> tuple[Candidate, ...]:
    """The versions that a place admits, newest first."""
    requirement = wanted.requirement
    if wanted.path is not None:
        known = _in_folder(patches, wanted)
    elif wanted.hub is not None:
        known = published(wanted.hub, requirement)
    else:
        known = _registered(manager, requirement)
    parents = {candidate.number: candidate.parent_version for candidate in known}
    pointed = requirement.pointer
    if pointed is not None and wanted.hub is not None:
        found = list(known)
    elif pointed is not None and wanted.path is None:
        digest = manager.registry.version(pointed).digest
        found = [candidate for candidate in known if candidate.digest == digest]
    else:
        found = [candidate for candidate in known if requirement.admits(candidate, parents)]
        if pointed is not None and pointed.digest is not None:
            found = [candidate for candidate in found if candidate.digest.startswith(pointed.digest)]
    if not found:
        raise NotFoundError(
            f"no version of {requirement.package} is {requirement.text}",
            hint=f"there are {', '.join(f'v{candidate.number}' for candidate in known[:5])}",
        )
    return tuple(found)


def _registered(manager: Manager, requirement: Requirement) -> tuple[Candidate, ...]:
    return tuple(Candidate.of_version(version) for version in reversed(manager.registry.summaries(requirement.package)))


def _in_folder(patches: Patches, wanted: WantedPackage) -> tuple[Candidate, ...]:
    manifest = EditPackage.read(patches.folder / folder_of(wanted.path or "")).manifest
    if manifest.name != wanted.requirement.package:
        raise NotFoundError(
            f"{wanted.path} holds {manifest.reference}, not a version of {wanted.requirement.package}",
            hint="mend the name or the path in patches.toml",
        )
    return (Candidate.of_manifest(manifest),)


def _locked(
    manager: Manager,
    folder: Path,
    locked: LockedModel,
    model: WantedModel,
    number: int,
    found: Sequence[Candidate],
) -> Candidate | None:
    """What is locked for a place, where that is still allowed; of a folder only what lies there counts.

    A package that is listed several times has as many locked versions, in the same order.
    """
    wanted = model.packages[number]
    before = [package.requirement.package for package in model.packages[:number]].count(wanted.requirement.package)
    kept = [package for package in locked.packages if package.name == wanted.requirement.package]
    if before >= len(kept) or wanted.path is not None:
        return None
    if (kept[before].wanted, kept[before].source) == (wanted.requirement.text, wanted.source):  # the same as then
        return Candidate.of_manifest(locate(manager, model.name, kept[before], folder), kept[before].commit)
    if wanted.hub is not None:
        return next((each for each in found if each.digest == kept[before].digest), None)
    version = manager.registry.version_by_digest(kept[before].digest)
    if version is None or wanted.requirement.pointer is not None:
        return None
    candidate = Candidate.of_version(version)
    parents = {each.number: each.parent_version for each in _registered(manager, wanted.requirement)}
    return candidate if wanted.requirement.admits(candidate, parents) else None


def _fits(candidate: Candidate, base: BaseRecord) -> bool:
    """Whether a version was made for a base; of a memory only its manifest can tell, and that is asked later."""
    return candidate.kind == "memory" or candidate.base_fingerprint == base.fingerprint
