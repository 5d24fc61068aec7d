"""Publishing one version: one commit that stands on the one before, and a tag ``v3`` on it that never moves.

Running it again after it was interrupted goes on where it stopped: files that the Hub has are not sent again, a commit
that changes nothing is not made, and the tag comes last.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from patchmgr.errors import HubError
from patchmgr.hub.client import asking, client, with_xet_or_without
from patchmgr.hub.listing import MAIN, Listing, list_versions
from patchmgr.hub.release import Publication, Release, Standing
from patchmgr.hub.standing import check_same, url_of
from patchmgr.package.files import LEFT_ALONE

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete


def publish(release: Release, standing: Standing, *, private: bool = True, create_pr: bool = False) -> Publication:
    """Send a version, and tag it.

    Args:
        release: what to send.
        standing: what :func:`patchmgr.hub.standing.look` found there; a repository that is not there is made.
        private: whether a repository that is made is private; one that is there stays what it is.
        create_pr: open a pull request instead, for its owner to merge.

    Raises:
        ConflictError: somebody else published meanwhile.
        NotFoundError: this account may not write there.
        HubError: the Hub cannot be reached, or refuses.
    """
    if standing.done is not None:
        return standing.done
    repo_id, listing = standing.repo_id, standing.listing
    if is_new := listing is None:
        with asking(repo_id):
            client().create_repo(repo_id, private=private, exist_ok=True)
        listing = list_versions(repo_id)
    older = listing.newest is not None and release.number < listing.newest
    branch = _side_branch(release, listing) if older else MAIN
    commit, pull_request = _commit(release, repo_id, None if older else listing.head, branch, create_pr=create_pr)
    if pull_request is None:
        _tag(release, repo_id, commit)
        if older:
            drop_side_branch(release, repo_id)
    return Publication(
        repo_id,
        url_of(repo_id, release.tag),
        release.tag,
        commit,
        is_new,
        removed=surplus(release, standing.files),
        pull_request=pull_request,
    )


def surplus(release: Release, there: frozenset[str]) -> tuple[str, ...]:
    """What is there and not in a version, but for what belongs to the repository and not to a version."""
    return tuple(sorted(there - set(release.files) - LEFT_ALONE))


def drop_side_branch(release: Release, repo_id: str) -> None:
    """Take away the branch on which an older version was committed; another push may have done so."""
    from huggingface_hub.errors import HfHubHTTPError

    with asking(repo_id, _side(release)), contextlib.suppress(HfHubHTTPError):
        client().delete_branch(repo_id, branch=_side(release))


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
            commit_message=release.title,
            commit_description=release.message,
            revision=branch,
            parent_commit=parent,
            create_pr=create_pr,
        )
        return str(info.oid), info.pr_url

    with asking(repo_id, None if branch == MAIN else branch):
        return with_xet_or_without(send)


def _operations(release: Release, repo_id: str, revision: str) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Everything that the version has in the place of everything that is there; made anew for every attempt."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = frozenset(client().list_repo_files(repo_id, revision=revision))
    return [
        *(CommitOperationAdd(name, file if isinstance(file, bytes) else str(file))
          for name, file in release.files.items()),
        *(CommitOperationDelete(name) for name in surplus(release, there)),
    ]  # fmt: skip


def _tag(release: Release, repo_id: str, commit: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    with asking(repo_id, release.tag):
        try:
            client().create_tag(repo_id, tag=release.tag, revision=commit, tag_message=release.message or None)
        except HfHubHTTPError as error:
            there = list_versions(repo_id).versions.get(release.number)
            if error.response.status_code != 409 or there is None:
                raise
            check_same(release, repo_id, there)
    if release.number not in list_versions(repo_id).versions:  # what answered may have been no Hub
        raise HubError(f"{repo_id} did not take the tag {release.tag}", hint="run it again; what was sent stays")


def _side_branch(release: Release, listing: Listing) -> str:
    """A branch for a version that is older than the newest, so that the main branch keeps that one."""
    with asking(listing.repo_id, _side(release)):
        client().create_branch(listing.repo_id, branch=_side(release), revision=listing.head, exist_ok=True)
    return _side(release)


def _side(release: Release) -> str:
    return f"patchmgr-{release.tag}"
