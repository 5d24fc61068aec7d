"""What publishing sends, what it finds there, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from patchmgr.hub.listing import Listing


@dataclass(frozen=True)
class Release:
    """One version, as it is published."""

    name: str
    number: int
    manifest_name: str
    manifest: bytes
    message: str
    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    """All of them, the manifest too, by their paths in the repository; none while it is only looked what is there."""

    @property
    def tag(self) -> str:
        """``v3``."""
        return f"v{self.number}"

    @property
    def title(self) -> str:
        """``fact-fixes v3``."""
        return f"{self.name} {self.tag}"


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
    removed: tuple[str, ...] = ()
    """Files of the version before, or of others, that this one does not have."""
    pull_request: str | None = None
    """Where it waits to be merged; no tag is set then."""


@dataclass(frozen=True)
class Standing:
    """A repository before something is published there."""

    repo_id: str
    listing: Listing | None = None
    """None: there is no repository."""
    is_private: bool = False
    files: frozenset[str] = frozenset()
    """On the main branch."""
    done: Publication | None = None
    """The publication that needs nothing more, where the repository has this very version."""
