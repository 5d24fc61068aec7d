"""Packages of the Hub that ``patches.toml`` wants: their versions there, and exactly the one that a lock names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError, NotFoundError
from patchmgr.hub.fetch import Snapshot, open_snapshot
from patchmgr.hub.listing import list_versions
from patchmgr.hub.reference import HubReference
from patchmgr.manager.lock.lockfile import LOCK, LockedPackage
from patchmgr.manager.lock.requirement import Candidate, Requirement
from patchmgr.manager.sharing.choose import choose
from patchmgr.package.manifest import parse_manifest
from patchmgr.package.reader import MANIFEST

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.sharing.remote_package import RemotePackage


def published(repo_id: str, requirement: Requirement) -> tuple[Candidate, ...]:
    """The versions of a repository that could meet a requirement, newest first; only manifests are fetched.

    Args:
        repo_id: of the repository.
        requirement: what is wanted. What it says by a tag, a digest or as the newest is looked up on the Hub.

    Raises:
        NotFoundError: there is no such repository, or no version in it that is meant.
        IntegrityError: it holds versions of another package.
        HubError: the Hub cannot be reached.
    """
    if requirement.pointer is not None:
        which = "" if requirement.text == "latest" else requirement.text
        return (_candidate(open_snapshot(repo_id, choose(HubReference(repo_id, which)), MANIFEST), requirement),)
    listing = list_versions(repo_id)
    descends = any(sign == "^" for sign, _ in requirement.clauses)
    found = []
    for number in sorted(listing.versions, reverse=True):
        plain = Candidate(requirement.package, number, "", None, frozenset(), "", "weights")
        if descends or requirement.admits(plain, {}):
            found.append(_candidate(open_snapshot(repo_id, listing.versions[number], MANIFEST), requirement, number))
    if not found:
        there = ", ".join(f"v{number}" for number in sorted(listing.versions, reverse=True)[:5]) or "none"
        raise NotFoundError(f"no version of {repo_id} is {requirement.text}", hint=f"there is {there}")
    return tuple(found)


def _candidate(snapshot: Snapshot, requirement: Requirement, number: int | None = None) -> Candidate:
    manifest = parse_manifest(snapshot.manifest)
    if manifest.name != requirement.package or number not in (None, manifest.version):
        wanted = requirement.package if number is None else f"{requirement.package}@v{number}"
        raise IntegrityError(
            f"{snapshot.repo_id} has {manifest.reference} where {wanted} is wanted",
            hint="mend the name or the hub in patches.toml, or ask the owner of the repository",
        )
    return Candidate.of_manifest(manifest, snapshot.commit)


def locked_remote(package: LockedPackage) -> RemotePackage:
    """The package that a lock names, on the Hub: at its commit, or where that is gone, at the tag of its version.

    Its digest decides, so whoever moves the tag or rewrites the history cannot bring in anything else.

    Raises:
        IntegrityError: there is another package in its place.
        NotFoundError: it is not there any more, or there is no access to it.
        HubError: the Hub cannot be reached.
    """
    from patchmgr.manager.sharing.remote_package import find_remote

    tag = f"{package.hub}@v{package.version}"
    try:
        remote = find_remote(f"{package.hub}@{package.commit}" if package.commit else tag)
    except NotFoundError:
        remote = find_remote(tag)
    found = remote.manifest
    if (found.digest, found.reference) != (package.digest, package.reference):
        raise IntegrityError(
            f"{LOCK} has {package.reference} of {package.hub} as sha256:{package.digest[:12]}, and the Hub serves "
            f"{found.reference}, sha256:{found.digest[:12]}, in its place",
            hint="it was changed after it was locked; ask its owner, or `patchmgr lock --upgrade` takes what is there",
        )
    return remote


def folder_on_trial(manager: Manager, package: LockedPackage) -> Path:
    """The whole package in a temporary folder that is gone when the manager closes; errors as above, and of fetching.

    To be asked for what the registry does not have.
    """
    return Path(manager.nearby([locked_remote(package).place])[0])
