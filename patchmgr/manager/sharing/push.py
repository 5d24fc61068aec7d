"""Pushing: a version of the registry to the Hub, with a card that the Hub understands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import PatchmgrError, UsageError
from patchmgr.hub.publish import publish, surplus
from patchmgr.hub.reference import HubReference, is_hub_reference
from patchmgr.hub.release import Publication, Release
from patchmgr.hub.standing import look
from patchmgr.manager.export import adapter_files
from patchmgr.manager.states import open_version
from patchmgr.package.card import render_card
from patchmgr.package.reader import CARD, MANIFEST, SIGNATURE, EditPackage
from patchmgr_registry import EventObject, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_PUSH = "push"


@dataclass(frozen=True)
class Pushed:
    """What pushing did, or would do."""

    reference: str
    digest: str
    publication: Publication
    files: dict[str, int]
    """What the version consists of on the Hub, with sizes in bytes."""
    is_signed: bool
    has_adapter: bool
    """Whether a PEFT adapter of the same effect lies beside the package."""
    stays_private: bool = False
    """It was asked to be public, and the repository that is there is not."""

    @property
    def signature_is_there(self) -> bool:
        """Whether the signature is on the Hub; one that was made after the version was published is not."""
        return self.is_signed and (not self.publication.was_there or SIGNATURE in self.publication.had)


def push(
    manager: Manager,
    reference: str,
    repo: str,
    *,
    private: bool = True,
    create_pr: bool = False,
    dry_run: bool = False,
) -> Pushed:
    """Publish a version: one commit, and a tag ``v3`` that never moves.

    Args:
        manager: the registry.
        reference: which version.
        repo: ``org/name``; it is made when it is not there.
        private: whether a repository that is made is private.
        create_pr: open a pull request instead.
        dry_run: say what would be done, and send nothing.

    Raises:
        NotFoundError: there is no such version, or this account may not write there.
        UsageError: the repository's id cannot be one.
        ConflictError: the repository has another version of that number, holds something else, or was changed by
            somebody else meanwhile.
        IntegrityError: a blob of the version is missing or damaged.
        HubError: the Hub cannot be reached, or refuses.
    """
    version = manager.registry.version(reference)
    repo_id = parse_repo(repo)
    release = Release(version.package, version.number, MANIFEST, version.manifest.encode(), version.message)
    standing = look(release, repo_id, create_pr=create_pr)
    package = open_version(manager, version)
    release = replace(release, files=_files(manager, version, package, repo_id))
    files = {
        name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in release.files.items()
    }
    if dry_run:
        fresh, removed = standing.listing is None, surplus(release, standing.files)
        done = standing.done or Publication(repo_id, "", release.tag, None, is_new_repository=fresh, removed=removed)
    else:
        done = publish(release, standing, private=private, create_pr=create_pr)
        if not (done.was_there and _is_recorded(manager, version, repo_id)):
            about = EventObject("package", version.reference, version.digest)
            record_push(manager, about, done, remote_of=version.package)
    return Pushed(
        reference=version.reference,
        digest=version.digest,
        publication=done,
        files=files,
        is_signed=SIGNATURE in files,
        has_adapter="adapter_config.json" in files,
        stays_private=standing.is_private and not private,
    )


def _is_recorded(manager: Manager, version: VersionRecord, repo_id: str) -> bool:
    """Whether the history says that a version is there; the answer to a push that landed may have been lost."""
    place = f"hf://{repo_id}@"
    return any(
        thing.kind == "remote" and thing.name.startswith(place)
        for event in manager.registry.events(package=version.reference)
        for thing in event.objects
    )


def parse_repo(text: str) -> str:
    """The id of a repository to publish to.

    Raises:
        UsageError: it is none.
    """
    if not is_hub_reference(text) or HubReference.parse(text).which:
        raise UsageError(
            f"{text!r} is no repository of the Hub", hint="write org/name; the version is the package's own number"
        )
    return HubReference.parse(text).repo_id


def record_push(manager: Manager, what: EventObject, done: Publication, *, remote_of: str | None = None) -> None:
    """Note that something was published, and where; ``remote_of`` names the package whose place that is now."""
    place = f"hf://{done.repo_id}@{done.commit}"
    with manager.registry.begin() as tx:
        if remote_of is not None and done.pull_request is None:
            tx.set_remote(remote_of, f"hf://{done.repo_id}")
        tx.record_event(manager.origin, _PUSH, objects=[what, EventObject("remote", done.pull_request or place)])
        tx.commit()


def _files(manager: Manager, version: VersionRecord, package: EditPackage, repo_id: str) -> dict[str, Path | bytes]:
    """Everything that lies in the repository: the package, its companions, and a card that names the repository."""
    manifest, files = package.manifest, dict[str, Path | bytes](package.files)
    adapter = _adapter(manager, version)
    files[MANIFEST] = version.manifest.encode()
    files |= adapter
    if CARD not in manifest.files:
        method = manager.plugins.methods.get(manifest.method.name)
        files[CARD] = render_card(
            manifest,
            package.requests,
            package.scores,
            repo_id=repo_id,
            papers=() if method is None else (method.paper,),
            adapter=_auto_class(adapter),
        ).encode()
    return dict(sorted(files.items()))


def _adapter(manager: Manager, version: VersionRecord) -> Mapping[str, bytes]:
    """The files of a PEFT adapter, where there is an exact one; a base that cannot be read stops no push."""
    try:
        return adapter_files(manager, version) or {}
    except PatchmgrError:
        return {}


def _auto_class(adapter: Mapping[str, bytes]) -> str | None:
    """By which class of transformers the base of an adapter is loaded; None: there is no adapter."""
    if not adapter:
        return None
    task = json.loads(adapter["adapter_config.json"]).get("task_type")
    return "AutoModelForSeq2SeqLM" if task == "SEQ_2_SEQ_LM" else "AutoModelForCausalLM"
