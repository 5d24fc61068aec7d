"""The lines of ``patchmgr log --graph``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.cli import render

if TYPE_CHECKING:
    from patchmgr.manager.log import History
    from patchmgr_registry import GenerationRecord

_UNFINISHED = "x"


def graph_lines(history: History) -> list[str]:
    """A history drawn, newest first: its whole past, since arrows and parents may lead far back."""
    return _model(history) if history.generations else _package(history)


def _model(history: History) -> list[str]:
    from patchmgr.manager.graph import draw_line, returns

    arrows = returns(history.generations)
    numbers = [entry.number for entry in history.generations]
    marks = {entry.number: _UNFINISHED for entry in history.generations if entry.status in ("pending", "failed")}
    rows = [
        [
            drawn,
            entry.number,
            render.moment(entry.created),
            f"{entry.action} to {arrows[entry.number]}" if entry.number in arrows else _action(entry),
            _moves(entry, before, history),
            entry.message,
        ]
        for drawn, entry, before in zip(
            draw_line(numbers, arrows, marks), history.generations, _befores(history.generations), strict=True
        )
    ]
    return render.aligned(rows, [0] * 6)


def _action(entry: GenerationRecord) -> str:
    return entry.action if entry.status in ("ready", "removed") else f"{entry.action} ({entry.status})"


def _befores(newest_first: Sequence[GenerationRecord]) -> list[tuple[str, ...]]:
    """The stack that each generation began from: that of the last finished one before it."""
    stack: tuple[str, ...] = ()
    found = []
    for entry in reversed(newest_first):
        found.append(stack)
        if entry.status in ("ready", "removed"):
            stack = entry.packages
    return found[::-1]


def _moves(entry: GenerationRecord, before: tuple[str, ...], history: History) -> str:
    """What came and what went, as ``+fact-fixes@v1``."""
    signs = [f"-{digest}" for digest in before if digest not in entry.packages]
    signs += [f"+{digest}" for digest in entry.packages if digest not in before]
    return " ".join(f"{sign[0]}{history.references.get(sign[1:], sign[1:13])}" for sign in signs) or "-"


def _package(history: History) -> list[str]:
    from patchmgr.manager.graph import draw_tree

    parents = {entry.number: entry.parent_version for entry in history.versions}
    rows = [
        [drawn, f"v{entry.number}", render.moment(entry.created), entry.method, entry.n_edits, entry.message]
        for drawn, entry in zip(draw_tree(list(parents), parents), history.versions, strict=True)
    ]
    return render.aligned(rows, [0] * 6)
