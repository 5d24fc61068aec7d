"""A network that fails on purpose, at the n-th request from now or at every one.

The kinds: ``500`` and ``503`` refuse before anything is done. ``html`` answers 200 with a page, as a network that wants
a login does. ``hang`` never answers. ``drop`` closes the connection
without an answer, with nothing done. ``cut`` does what was asked and closes the connection in the middle of the answer.
``lost`` does what was asked and never answers. A connection that hangs is closed after ``hang_s`` seconds at the
latest, for those calls of the client that have no time limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["500", "503", "html", "hang", "drop", "cut", "lost"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass
class _Rule:
    kind: str
    pattern: re.Pattern[str]
    remaining: int
    lasting: bool  # from then on, not that once


class Faults:
    """The faults that are due."""

    def __init__(self) -> None:
        self.hang_s = 5.0
        self._rules: list[_Rule] = []

    def at(self, n: int, kind: Kind, match: str = "") -> None:
        """Let the n-th request from now fail (1 is the next), counting those whose ``METHOD path`` matches."""
        if n < 1:
            raise ValueError(f"requests are counted from 1, not {n}")
        self._add(kind, match, n, lasting=False)

    def every(self, kind: Kind, match: str = "", *, after: int = 0) -> None:
        """Let every request that matches fail until `clear`, once this many of them have passed."""
        self._add(kind, match, after + 1, lasting=True)

    def clear(self) -> None:
        """From now on the network works, and what was due is forgotten."""
        self._rules = []

    @property
    def pending(self) -> int:
        """How many faults set by `at` have not happened yet."""
        return sum(not rule.lasting for rule in self._rules)

    def take(self, method: str, path: str) -> str | None:
        """The fault for a request that has just come, counted down."""
        due = None
        for rule in list(self._rules):
            if not rule.pattern.search(f"{method} {path}"):
                continue
            rule.remaining -= 1
            if rule.remaining <= 0:
                due = due or rule.kind
                if not rule.lasting:
                    self._rules.remove(rule)
        return due

    def _add(self, kind: str, match: str, remaining: int, *, lasting: bool) -> None:
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(KINDS)}")
        self._rules.append(_Rule(kind, re.compile(match), remaining, lasting))
