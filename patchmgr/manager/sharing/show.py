"""What a package on the Hub says of itself, before it is let in; its weights are not downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchmgr.manager.sharing.remote_package import RemotePackage, fetch_words, find_remote
from patchmgr.manager.show import Edits, PackageView
from patchmgr.package.reader import SIGNATURE

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def show_remote(manager: Manager, text: str) -> PackageView:
    """A version on the Hub; manifest, edits and scores are fetched and checked, nothing else.

    Raises:
        PatchmgrError: as those of :func:`patchmgr.manager.sharing.remote_package.find_remote`.
    """
    remote = find_remote(text)
    package = fetch_words(manager, remote)
    manifest = package.manifest
    return PackageView(
        manifest,
        package.requests,
        package.scores,
        len(remote.snapshot.manifest) + sum(file.size_bytes for file in manifest.files.values()),
        (),
        manager.registry.applied_to(manifest.digest),
        signature=_signature(remote),
    )


def show_remote_edits(manager: Manager, text: str, *, offset: int, limit: int | None) -> Edits:
    """The requests of a version on the Hub; errors as those of :func:`show_remote`."""
    package = fetch_words(manager, find_remote(text))
    until = None if limit is None else offset + limit
    return Edits(package.manifest.reference, package.manifest.n_edits, offset, package.requests[offset:until])


def _signature(remote: RemotePackage) -> str:
    if not remote.snapshot.files:
        return "not known offline"
    there = SIGNATURE in remote.snapshot.files
    return f"there is one: `patchmgr pull {remote.reference}`, then `patchmgr verify`" if there else "none"
