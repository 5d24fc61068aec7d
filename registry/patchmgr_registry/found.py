"""What a search finds: frozen values, no rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr.request import EditRequest


@dataclass(frozen=True, slots=True)
class FoundEdit:
    """An edit that a search found."""

    package: str
    number: int
    digest: str
    position: int
    """Place of the request among the version's edits, from 0."""
    request: EditRequest


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A version whose message a search found."""

    package: str
    number: int
    digest: str
    message: str
