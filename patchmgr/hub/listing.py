"""Which versions a repository has: its tags ``v1``, ``v2`` and so on, each at a commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from patchmgr.errors import HubError
from patchmgr.hub.client import asking, client, is_offline

_VERSION = re.compile(r"v([1-9][0-9]{0,17})")
MAIN = "main"


@dataclass(frozen=True)
class Listing:
    """The versions of a repository, its other tags, and where its newest commit is."""

    repo_id: str
    versions: Mapping[int, str] = field(default_factory=dict)
    """Commit of each, by its number, rising."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Commits of tags that are no versions."""
    head: str | None = None
    """Of the main branch; None: there is no commit."""

    @property
    def newest(self) -> int | None:
        """The highest number."""
        return max(self.versions, default=None)


def list_versions(repo_id: str) -> Listing:
    """What a repository has, as the Hub says; offline, as far as the Hub's cache knows.

    Raises:
        NotFoundError: there is no such repository, or no access to it.
        HubError: the Hub cannot be reached.
    """
    if is_offline():
        return _cached(repo_id)
    with asking(repo_id):
        refs = client().list_repo_refs(repo_id)
    tags = {tag.name: tag.target_commit for tag in refs.tags}
    head = next((branch.target_commit for branch in refs.branches if branch.name == MAIN), None)
    return _sorted(repo_id, tags, head)


def _cached(repo_id: str) -> Listing:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type="model") / "refs"
    refs = {path.name: path.read_text().strip() for path in folder.glob("*") if path.is_file()}
    if not refs:
        raise HubError(f"{repo_id} is not in the Hub's cache and HF_HUB_OFFLINE is set", hint="unset it")
    return _sorted(repo_id, refs, refs.pop(MAIN, None))


def _sorted(repo_id: str, tags: Mapping[str, str], head: str | None) -> Listing:
    numbers = {int(match[1]): commit for name, commit in tags.items() if (match := _VERSION.fullmatch(name))}
    others = {name: commit for name, commit in tags.items() if not _VERSION.fullmatch(name)}
    return Listing(repo_id, dict(sorted(numbers.items())), others, head)
