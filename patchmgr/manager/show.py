"""Everything known of one package version: its manifest, its edits and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import PatchmgrError
from patchmgr.hub.reference import is_hub_reference
from patchmgr.manager.newest import measured_thing, newest
from patchmgr.manager.packages import folder_of, is_folder, score_record
from patchmgr.manager.signing.ask import finding
from patchmgr.manager.states import open_version
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Score
from patchmgr.request import EditRequest
from patchmgr.signing.trust import trusted_keys
from patchmgr_registry import ScoreRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class PackageView:
    """A package, read and checked, wherever it lies."""

    manifest: Manifest
    requests: tuple[EditRequest, ...]
    scores: tuple[Score, ...]
    size_bytes: int
    tags: tuple[str, ...]
    applied_to: tuple[str, ...]
    """Models whose stack it is in now."""
    signature: str
    """What is known of its signature, in one line."""
    later: tuple[ScoreRecord, ...] = ()
    """What was measured beside the scores in the package: its cost, and the newest of later evaluations."""


@dataclass(frozen=True)
class Edits:
    """Some of the requests of a version."""

    reference: str
    n_edits: int
    """How many the version has, shown here or not."""
    offset: int
    requests: tuple[EditRequest, ...]
    """None of them where the author withheld them."""


def show_edits(manager: Manager, reference: str, *, offset: int = 0, limit: int | None = None) -> Edits:
    """The requests of a version in their order, as the registry has them, or of a package in a folder.

    Args:
        manager: the registry.
        reference: which version.
        offset: how many are left out at the beginning.
        limit: how many are shown at most.

    Raises:
        NotFoundError: there is no such package.
        IntegrityError: of a folder, a file is missing or damaged.
    """
    if is_hub_reference(reference):
        from patchmgr.manager.sharing.show import show_remote_edits

        return show_remote_edits(manager, reference, offset=offset, limit=limit)
    if is_folder(reference):
        package = EditPackage.read(folder_of(reference))
        until = None if limit is None else offset + limit
        return Edits(package.manifest.reference, package.manifest.n_edits, offset, package.requests[offset:until])
    version = manager.registry.version(reference)
    requests = manager.registry.edits(version.digest, offset=offset, limit=limit)
    return Edits(version.reference, version.n_edits, offset, requests)


def show(manager: Manager, reference: str) -> PackageView:
    """A package of the registry, in a folder, or on the Hub; every byte is checked, but weights are left on the Hub.

    Raises:
        NotFoundError: there is no such package.
        IntegrityError: a file is missing or damaged.
        FormatError: a folder that is no valid package.
    """
    if is_hub_reference(reference):
        from patchmgr.manager.sharing.show import show_remote

        return show_remote(manager, reference)
    folder = folder_of(reference) if is_folder(reference) else None
    if folder is not None:
        package = EditPackage.read(folder)
        tags: tuple[str, ...] = ()
    else:
        version = manager.registry.version(reference)
        package = open_version(manager, version)
        tags = tuple(tag for tag, number in manager.registry.tags(version.package).items() if number == version.number)
    package.deltas(manager.plugins.encodings)
    manifest = package.manifest
    known = manager.registry.version_by_digest(manifest.digest)
    inside = {measured_thing(score_record(score)) for score in package.scores}
    kept = () if known is None else newest(manager.registry.scores(manifest.digest))
    return PackageView(
        manifest,
        package.requests,
        package.scores,
        len(manifest.to_bytes()) + sum(file.size_bytes for file in manifest.files.values()),
        tags,
        manager.registry.applied_to(manifest.digest),
        _signature(manager, manifest, folder),
        tuple(score for score in kept if measured_thing(score) not in inside),
    )


def _signature(manager: Manager, manifest: Manifest, folder: Path | None) -> str:
    try:
        return finding(manager, manifest, trusted_keys(manager.settings.trust), folder).line
    except PatchmgrError as error:  # what it takes to look at it is not installed
        return f"not looked at: {error}"
