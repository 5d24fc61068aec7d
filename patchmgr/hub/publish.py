"""Publishing one version: one commit that stands on the one before, and a tag ``v3`` on it that never moves.

Running it again after it was interrupted goes on where it stopped: files that the Hub has are not sent again, a commit
that changes nothing is not made, and the tag comes last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError, HubError, NotFoundError
from patchmgr.hub.client import asking, client, is_offline, with_xet_or_without
from patchmgr.hub.fetch import open_snapshot
from patchmgr.hub.listing import MAIN, Listing, list_versions

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

_KEPT = frozenset({".gitattributes"})
"""The Hub's own; every repository begins with it."""


@dataclass(frozen=True)
class Release:
    """What one version publishes."""

    name: str
    number: int
    manifest_name: str
    manifest: bytes
    files: Mapping[str, Path | bytes]
    """All of them, the manifest too, by their paths in the repository."""
    message: str

    @property
    def tag(self) -> str:
        """``v3``."""
        return f"v{self.number}"


@dataclass(frozen=True)
class Publication:
    """What publishing did, or would do."""

    repo_id: str
    url: str
    tag: str
    commit: str | None
    """None: nothing was sent yet."""
    is_new_repository: bool = False
    was_there: bool = False
    """The repository has had this very version."""
    had: frozenset[str] = frozenset()
    """Files that it has there; empty where it was not there."""
    pull_request: str | None = None
    """Where it waits to be merged; no tag is set then."""


def check_release(release: Release, repo_id: str) -> tuple[Listing | None, Publication | None]:
    """What the repository has, and the publication that needs nothing more; nothing is sent.

    Returns:
        What is there, None where there is no repository; and the publication where it has this very version.

    Raises:
        ConflictError: it has other bytes under this number, or holds something else.
        HubError: the Hub cannot be reached, or no network is to be used.
    """
    if is_offline():
        raise HubError("publishing takes a network, and HF_HUB_OFFLINE is set", hint="unset it")
    listing = _existing(repo_id)
    if listing is None:
        return None, None
    _check_is_ours(release, listing)
    there = listing.versions.get(release.number)
    if there is not None:
        had = _check_same(release, repo_id, there)
        return listing, Publication(repo_id, _url(repo_id, release.tag), release.tag, there, was_there=True, had=had)
    return listing, None


def publish(release: Release, repo_id: str, *, private: bool = True, create_pr: bool = False) -> Publication:
    """Send a version, and tag it.

    Args:
        release: what to send.
        repo_id: where to; it is made when it is not there.
        private: whether a repository that is made is private; one that is there stays what it is.
        create_pr: open a pull request instead, for its owner to merge.

    Raises:
        ConflictError: as in :func:`check_release`, or somebody else published meanwhile.
        NotFoundError: this account may not write there.
        HubError: the Hub cannot be reached, or refuses.
    """
    listing, done = check_release(release, repo_id)
    if done is not None:
        return done
    if is_new := listing is None:
        with asking(repo_id):
            client().create_repo(repo_id, private=private, exist_ok=True)
        listing = list_versions(repo_id)
    older = listing.newest is not None and release.number < listing.newest and not create_pr
    branch = _side_branch(release, listing) if older else MAIN
    commit, pull_request = _commit(release, repo_id, None if older else listing.head, branch, create_pr=create_pr)
    if pull_request is None:
        _tag(release, repo_id, commit)
        if older:
            with asking(repo_id, branch):
                client().delete_branch(repo_id, branch=branch)
    url = _url(repo_id, release.tag)
    return Publication(repo_id, url, release.tag, commit, is_new, pull_request=pull_request)


def _existing(repo_id: str) -> Listing | None:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with asking(repo_id):
        try:
            client().repo_info(repo_id)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None
    return list_versions(repo_id)


def _check_same(release: Release, repo_id: str, commit: str) -> frozenset[str]:
    """The files of a version that is there; ConflictError if it is another."""
    there = open_snapshot(repo_id, commit, release.manifest_name)
    if there.manifest != release.manifest:
        raise ConflictError(
            f"{repo_id} has another {release.tag}, and a version that was published stays as it is",
            hint="publish your edits as the next version, or to another repository",
        )
    return frozenset(there.files)


def _check_is_ours(release: Release, listing: Listing) -> None:
    """Make sure that the main branch holds versions of this package, or nothing."""
    if listing.head is None:
        return
    try:
        there = open_snapshot(listing.repo_id, listing.head, release.manifest_name)
    except NotFoundError:
        with asking(listing.repo_id):
            names = set(client().list_repo_files(listing.repo_id, revision=listing.head)) - _KEPT - {"README.md"}
        if names:
            raise ConflictError(
                f"{listing.repo_id} holds something else, such as {min(names)!r}", hint="publish to another repository"
            ) from None
        return
    name = _name_in(there.manifest)
    if name != release.name:
        raise ConflictError(
            f"{listing.repo_id} holds the versions of {name}, not of {release.name}",
            hint="publish to another repository: one for each package",
        )


def _name_in(manifest: bytes) -> str:
    try:
        return str(json.loads(manifest)["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "something else"


def _commit(
    release: Release, repo_id: str, parent: str | None, branch: str, *, create_pr: bool
) -> tuple[str, str | None]:
    """One commit on a branch, which must still be at ``parent`` where that is given.

    Returns:
        Its id and, where it is one, the page of the pull request.
    """

    def send() -> tuple[str, str | None]:
        info = client().create_commit(
            repo_id,
            _operations(release, repo_id, parent or branch),
            commit_message=f"{release.name} {release.tag}",
            commit_description=release.message,
            revision=branch,
            parent_commit=parent,
            create_pr=create_pr,
        )
        return str(info.oid), info.pr_url

    with asking(repo_id, None if branch == MAIN else branch):
        return with_xet_or_without(send)


def _operations(release: Release, repo_id: str, revision: str) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Everything that the version has in the place of everything that is there."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = set(client().list_repo_files(repo_id, revision=revision))
    surplus = sorted(there - set(release.files) - _KEPT)
    return [
        *(CommitOperationAdd(name, file if isinstance(file, bytes) else str(file))
          for name, file in release.files.items()),
        *(CommitOperationDelete(name) for name in surplus),
    ]  # fmt: skip


def _tag(release: Release, repo_id: str, commit: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    with asking(repo_id, release.tag):
        try:
            client().create_tag(repo_id, tag=release.tag, revision=commit, tag_message=release.message or None)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            _check_same(release, repo_id, list_versions(repo_id).versions[release.number])


def _side_branch(release: Release, listing: Listing) -> str:
    """A branch for a version that is older than the newest, so that the main branch keeps that one."""
    branch = f"patchmgr-{release.tag}"
    with asking(listing.repo_id, branch):
        client().create_branch(listing.repo_id, branch=branch, revision=listing.head, exist_ok=True)
    return branch


def _url(repo_id: str, tag: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo_id}/tree/{tag}"
