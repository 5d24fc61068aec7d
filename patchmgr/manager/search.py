"""Searching for words: in the prompts and targets of edits, and in the messages of versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr_registry import FoundEdit, FoundMessage, Reference

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Found:
    """What holds every word of a text, or words that begin so; the newest versions first."""

    edits: tuple[FoundEdit, ...]
    messages: tuple[FoundMessage, ...]
    more: bool
    """Whether there is more of either than was asked for."""


def search(manager: Manager, text: str, *, package: str | None = None, limit: int = 50) -> Found:
    """Find edits and messages by their words; case and accents do not count.

    Args:
        manager: the registry.
        text: words.
        package: only in the versions of this one.
        limit: how many edits, and how many messages, at most.

    Raises:
        UsageError: there is no word in the text.
        NotFoundError: there is no such package.
    """
    if package is not None:
        manager.registry.version(Reference(package))
    edits = manager.registry.search(text, package=package, limit=limit + 1)
    messages = manager.registry.search_messages(text, package=package, limit=limit + 1)
    more = len(edits) > limit or len(messages) > limit
    return Found(edits[:limit], messages[:limit], more)
