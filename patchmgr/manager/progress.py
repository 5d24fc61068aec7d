"""How long work tells how far it is, whoever listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called again and again with a growing ``done``."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` (bytes, steps or edits) of ``what``."""
        ...


def silent(done: int, total: int, what: str) -> None:
    """Nobody listens."""
