"""Which version of a repository is meant: a number, the newest, a range, a tag, a commit or a digest."""

from __future__ import annotations

import json

from patchmgr.canonical import sha256_hex
from patchmgr.errors import NotFoundError, UsageError
from patchmgr.hub.fetch import open_snapshot
from patchmgr.hub.listing import MAIN, Listing, list_versions
from patchmgr.hub.reference import HubReference
from patchmgr.manager.lock.requirement import Candidate, Requirement
from patchmgr.package.reader import MANIFEST
from patchmgr_registry import Reference

_ANY_NAME = "package"
"""Stands for the package's name, which a repository's id does not say."""


def choose(reference: HubReference, manifest_name: str = MANIFEST) -> str:
    """The revision that a reference means: its tag, branch or commit.

    Args:
        reference: as a user wrote it.
        manifest_name: what the repository's manifest is called.

    Raises:
        NotFoundError: there is no such repository, or none of its versions is meant.
        UsageError: what stands behind the ``@`` is none of the forms.
        HubError: the Hub cannot be reached.
    """
    if reference.is_commit:
        return reference.which
    listing = list_versions(reference.repo_id)
    if not reference.which:
        newest = listing.newest
        if newest is None:
            raise NotFoundError(
                f"{reference.repo_id} has no version yet", hint="its owner publishes one with `patchmgr push`"
            )
        return f"v{newest}"
    if reference.which in listing.tags:
        return reference.which
    try:
        wanted = Requirement.parse(_ANY_NAME, reference.which)
    except UsageError as error:
        if "/" in reference.which:  # a pull request's
            return reference.which
        raise UsageError(f"{reference.which!r} says no versions of {reference.repo_id}", hint=error.hint) from None
    pointer = wanted.pointer
    if reference.which == MAIN or (pointer is not None and pointer.tag is not None):
        return reference.which  # a branch, or what the Hub knows and its list of tags does not have
    return f"v{_fitting(listing, wanted, pointer, manifest_name)}"


def _fitting(listing: Listing, wanted: Requirement, pointer: Reference | None, manifest_name: str) -> int:
    """The highest version that a requirement admits."""
    numbers = sorted(listing.versions, reverse=True)
    plain = pointer is None and not any(sign == "^" for sign, _ in wanted.clauses)
    known = {} if plain else {number: _candidate(listing, number, manifest_name) for number in numbers}
    parents = {number: candidate.parent_version for number, candidate in known.items()}
    for number in numbers:
        candidate = known.get(number) or Candidate(_ANY_NAME, number, "", None, frozenset(), "", "weights")
        prefix = "" if pointer is None else pointer.digest or ""
        if candidate.digest.startswith(prefix) and wanted.admits(candidate, parents):
            return number
    there = ", ".join(f"v{number}" for number in numbers[:5]) or "none"
    raise NotFoundError(f"no version of {listing.repo_id} is {wanted.text}", hint=f"there is {there}")


def _candidate(listing: Listing, number: int, manifest_name: str) -> Candidate:
    """What choosing needs of a version; whether its manifest is valid is asked of the one that is chosen."""
    data = open_snapshot(listing.repo_id, listing.versions[number], manifest_name).manifest
    try:
        parent = json.loads(data).get("parent_version")
    except (ValueError, AttributeError, RecursionError):
        parent = None
    parent = parent if isinstance(parent, int) else None
    return Candidate(_ANY_NAME, number, sha256_hex(data), parent, frozenset(), "", "weights")
