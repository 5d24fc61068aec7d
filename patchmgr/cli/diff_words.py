"""The signs and words that all parts of a printed difference share."""

from __future__ import annotations

from collections.abc import Iterator

from patchmgr.cli.render import paint

RED, GREEN, YELLOW, BOLD, CYAN = "31", "32", "33", "1", "36"


def title(text: str) -> str:
    """The first line of a part."""
    return paint(text, CYAN)


def removed(text: str) -> str:
    """A line that only the first side has."""
    return paint(f"- {text}".rstrip(), RED)


def added(text: str) -> str:
    """A line that only the second side has."""
    return paint(f"+ {text}".rstrip(), GREEN)


def changed(text: str) -> str:
    """A line for what both sides have, not alike."""
    return f"{paint('~', YELLOW)} {text}".rstrip()


def arrow(a: str, b: str) -> str:
    """From one to the other.

    >>> arrow("Paris", "Rome"), arrow("Paris", "Paris")
    ('Paris → Rome', 'Paris')
    """
    return a if a == b else f"{a} → {b}"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "edit"), counted(2, "edit")
    ('1 edit', '2 edits')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def counts(n_changed: int, n_added: int, n_removed: int, n_same: int = 0) -> str:
    """How many of something differ, and how.

    >>> counts(1, 0, 2, 7)
    '1 changed, 2 removed, 7 the same'
    """
    return ", ".join(_counts(n_changed, n_added, n_removed, n_same))


def _counts(n_changed: int, n_added: int, n_removed: int, n_same: int) -> Iterator[str]:
    words = (("changed", n_changed), ("added", n_added), ("removed", n_removed), ("the same", n_same))
    yield from (f"{number} {word}" for word, number in words if number)


def length(value: float | None) -> str:
    """A norm with three digits that count.

    >>> length(0.0123456), length(None)
    ('0.0123', '-')
    """
    return "-" if value is None else f"{value:.3g}"
