"""Pulling: a package of the Hub into the registry, as it is there or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.durable import scratch_folder
from patchmgr.errors import IntegrityError
from patchmgr.hub.fetch import fetch_files
from patchmgr.hub.reference import is_hub_reference
from patchmgr.manager.packages import adopt, registered, version_record
from patchmgr.manager.sharing.remote_package import RemotePackage, check_no_other, fetched, find_remote
from patchmgr.manager.signing.ask import require_signatures
from patchmgr.manager.signing.keep import keep_better
from patchmgr.manager.states import read_state
from patchmgr.ops import stack as stacks
from patchmgr.package.reader import SIGNATURE, EditPackage
from patchmgr_registry import EventObject, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Pulled:
    """A version that is in the registry now."""

    version: VersionRecord
    """In a dry run as it would be, where it is not there."""
    repo_id: str
    commit: str
    was_there: bool
    """The registry has had it before; nothing was downloaded."""


def pull(
    manager: Manager,
    text: str,
    *,
    model: str | None = None,
    digest: str | None = None,
    any_source: bool = False,
    again: bool = False,
    dry_run: bool = False,
) -> Pulled:
    """Take a version from the Hub into the registry, where it is not there already.

    Args:
        manager: the registry.
        text: such as ``org/fact-fixes@v3``.
        model: refuse a package that was not made for the base of this model, before it is downloaded.
        digest: refuse any other package, before it is downloaded.
        any_source: also where versions of that name were made here, or came from elsewhere.
        again: also one that was forgotten.
        dry_run: check what can be known beforehand, and take nothing in.

    Raises:
        ForgottenError: it was forgotten; nothing but its manifest is downloaded.
        UsageError: the text does not name a version on the Hub.
        NotFoundError: there is no such repository or version, or no access to it.
        BaseMismatchError: it was made for another base.
        ConflictError: the registry has another package of that name and number, or has the name from elsewhere.
        IntegrityError: a file is missing or is not what its digest says, or it is not signed as is asked.
        FormatError: it is no valid package.
        HubError: the Hub cannot be reached.
        StorageError: the disk is full, read-only or failing.
    """
    remote = find_remote(text)
    if digest not in (None, remote.manifest.digest):
        raise IntegrityError(f"{text} is another package than was looked at before", hint="run it again")
    if model is not None:
        stacks.check_base(remote.manifest, read_state(manager, model).fingerprint, model=model)
    known = registered(manager, remote.manifest.digest, again=again)
    if known is not None:
        if not dry_run:
            _keep_signature(manager, remote)
            _remember(manager, remote, event="remote-set")
        return Pulled(known, remote.snapshot.repo_id, remote.snapshot.commit, was_there=True)
    check_no_other(manager, remote, any_source=any_source or digest is not None)  # a digest leaves no doubt
    if dry_run:
        return Pulled(version_record(remote.manifest), remote.snapshot.repo_id, remote.snapshot.commit, was_there=False)
    with fetched(manager, remote) as folder:
        require_signatures(manager, [remote.manifest], {remote.manifest.digest: folder})
        version = adopt(manager, folder, "pull", [EventObject("remote", remote.place)], again=again)
    _remember(manager, remote)  # the event of pulling names it
    return Pulled(version, remote.snapshot.repo_id, remote.snapshot.commit, was_there=False)


def brought_in(manager: Manager, references: Sequence[str], *, model: str | None = None) -> tuple[str, ...]:
    """References with those to the Hub pulled, and named by their digests."""
    return tuple(
        f"sha256:{pull(manager, text, model=model).version.digest}" if is_hub_reference(text) else text
        for text in references
    )


def _keep_signature(manager: Manager, remote: RemotePackage) -> None:
    """Take over a signature that came to a version after it was pulled, where it says more than the one here."""
    if SIGNATURE not in remote.snapshot.files:
        return
    with scratch_folder(manager.settings.home / "tmp", "pull-", what="the signature") as folder:
        fetch_files(remote.snapshot, [SIGNATURE], folder)
        keep_better(manager, EditPackage.open_part(remote.manifest, {SIGNATURE: folder / SIGNATURE}))


def _remember(manager: Manager, remote: RemotePackage, *, event: str | None = None) -> None:
    """Note where versions of a package come from, for `patchmgr outdated`; the first place stays."""
    name = remote.manifest.name
    if all(known.name != name for known in manager.registry.remotes()):
        with manager.registry.begin() as tx:
            tx.set_remote(name, f"hf://{remote.snapshot.repo_id}")
            if event is not None:
                what = EventObject("package", remote.manifest.reference, remote.manifest.digest)
                tx.record_event(manager.origin, event, objects=[what, EventObject("remote", remote.place)])
            tx.commit()
