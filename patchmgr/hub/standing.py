"""What a repository has before a version is published there, and whether it may go there."""

from __future__ import annotations

import json

from patchmgr.errors import ConflictError, HubError, NotFoundError
from patchmgr.hub.client import asking, client, is_offline
from patchmgr.hub.fetch import open_snapshot
from patchmgr.hub.listing import Listing, list_versions
from patchmgr.hub.release import Publication, Release, Standing
from patchmgr.package.files import LEFT_ALONE


def look(release: Release, repo_id: str, *, create_pr: bool = False) -> Standing:
    """What a repository has, found to be where a version may go; nothing is sent.

    Args:
        release: without its files.
        repo_id: where it shall go.
        create_pr: whether as a pull request.

    Raises:
        ConflictError: it has other bytes under this number, or holds something else; or an older version than the
            newest shall be a pull request, whose merging would put the main branch back.
        HubError: the Hub cannot be reached, or no network is to be used.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if is_offline():
        raise HubError("publishing takes a network, and HF_HUB_OFFLINE is set", hint="unset it")
    with asking(repo_id):
        try:
            is_private = bool(client().repo_info(repo_id).private)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return Standing(repo_id)
    listing = list_versions(repo_id)
    files = _check_is_ours(release, listing)
    there = listing.versions.get(release.number)
    if there is not None:
        had = check_same(release, repo_id, there)
        url = url_of(repo_id, release.tag)
        done = Publication(repo_id, url, release.tag, there, was_there=True, had=had)
        return Standing(repo_id, listing, is_private, files, done)
    if create_pr:
        _check_request(release, listing)
        return Standing(repo_id, listing, is_private, files, _open_request(release, repo_id))
    return Standing(repo_id, listing, is_private, files)


def check_same(release: Release, repo_id: str, commit: str) -> frozenset[str]:
    """The files of a version that is there.

    Raises:
        ConflictError: it is another than the one to publish.
    """
    there = open_snapshot(repo_id, commit, release.manifest_name)
    if there.manifest != release.manifest:
        raise ConflictError(
            f"{repo_id} has another {release.tag}, and a version that was published stays as it is",
            hint="publish your edits as the next version, or to another repository",
        )
    return frozenset(there.files)


def url_of(repo_id: str, tag: str) -> str:
    """The page of a version."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo_id}/tree/{tag}"


def _check_is_ours(release: Release, listing: Listing) -> frozenset[str]:
    """The files of the main branch, found to be versions of this package, or nothing."""
    if listing.head is None:
        return frozenset()
    try:
        there = open_snapshot(listing.repo_id, listing.head, release.manifest_name)
    except NotFoundError:
        with asking(listing.repo_id):
            names = frozenset(client().list_repo_files(listing.repo_id, revision=listing.head))
        others = names - LEFT_ALONE - {"README.md"}
        if others:
            raise ConflictError(
                f"{listing.repo_id} holds something else, such as {min(others)!r}",
                hint="publish to another repository",
            ) from None
        return names
    name = _name_in(there.manifest)
    if name != release.name:
        raise ConflictError(
            f"{listing.repo_id} holds the versions of {name}, not of {release.name}",
            hint="publish to another repository: one for each package",
        )
    return frozenset(there.files)


def _name_in(manifest: bytes) -> str:
    try:
        return str(json.loads(manifest)["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "something else"


def _check_request(release: Release, listing: Listing) -> None:
    if listing.newest is not None and release.number < listing.newest:
        raise ConflictError(
            f"{listing.repo_id} has v{listing.newest}, and merging {release.tag} would put its main branch back",
            hint="push it without --create-pr: it gets its tag, and the main branch stays",
        )


def _open_request(release: Release, repo_id: str) -> Publication | None:
    """A pull request for this version that waits already."""
    with asking(repo_id):
        for request in client().get_repo_discussions(repo_id, discussion_type="pull_request", discussion_status="open"):
            revision = f"refs/pr/{request.num}"
            if request.title == release.title:
                there = open_snapshot(repo_id, revision, release.manifest_name)
                if there.manifest == release.manifest:
                    had = frozenset(there.files)
                    return Publication(
                        repo_id, request.url, release.tag, there.commit, was_there=True, had=had,
                        pull_request=request.url,
                    )  # fmt: skip
    return None
