"""Histories drawn beside their lines, newest first, in plain characters.

A model's history is one line, and what a rollback returned to is an arrow back. A package's versions are a tree: each
hangs on its parent version. ::

    *--.  4  rollback              *     v4
    |  |  3  apply                 |  *  v3
    |  |  2  apply                 |  *  v2
    *<-'  1  apply                 *--'  v1
    *     0  add
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr_registry import GenerationRecord

_STEP = 3
"""Characters from one column to the next."""


def returns(generations: Sequence[GenerationRecord]) -> Mapping[int, int]:
    """What each rollback returned to: the newest generation before it with the same stack.

    Args:
        generations: of one model, in any order.
    """
    seen: dict[tuple[str, ...], int] = {}
    found = {}
    for generation in sorted(generations, key=lambda generation: generation.number):
        if generation.status not in ("ready", "removed"):
            continue
        if generation.action == "rollback" and generation.packages in seen:
            found[generation.number] = seen[generation.packages]
        seen[generation.packages] = generation.number
    return found


def draw_line(numbers: Sequence[int], arrows: Mapping[int, int], marks: Mapping[int, str]) -> tuple[str, ...]:
    """A line with arrows back, a text for each number.

    >>> print(*draw_line([3, 2, 1, 0], {3: 1}, {2: "x"}), sep="|")
    *--.|x  ||*<-'|*

    Args:
        numbers: newest first.
        arrows: from a number to an older one.
        marks: what stands for a number in place of ``*``.
    """
    lanes: list[int | None] = []
    rows = []
    for number in numbers:
        ends = [lane for lane, target in enumerate(lanes) if target == number]
        opened = None
        if number in arrows:
            opened = next((lane for lane, target in enumerate(lanes) if target is None), len(lanes))
            lanes[opened : opened + 1] = [arrows[number]]
        passing = {lane for lane, target in enumerate(lanes) if target is not None} - {*ends, opened}
        corners = {lane + 1: "'" for lane in ends} | ({} if opened is None else {opened + 1: "."})
        row = _row(0, marks.get(number, "*"), {lane + 1 for lane in passing}, corners)
        rows.append(row[0] + "<" + row[2:] if ends else row)
        lanes = [None if lane in ends else target for lane, target in enumerate(lanes)]
    return tuple(rows)


def draw_tree(numbers: Sequence[int], parents: Mapping[int, int | None]) -> tuple[str, ...]:
    """A tree in which each number hangs on its parent below, a text for each number.

    >>> print(*draw_tree([4, 3, 2, 1], {4: 1, 3: 2, 2: 1, 1: None}), sep="/")
    */|  */|  */*--'

    Args:
        numbers: newest first.
        parents: of each number; one that is not among the numbers counts as none.
    """
    columns: list[int | None] = []
    rows = []
    for number in numbers:
        waiting = [column for column, wanted in enumerate(columns) if wanted == number]
        free = next((column for column, wanted in enumerate(columns) if wanted is None), len(columns))
        at = waiting[0] if waiting else free
        columns[at : at + 1] = [number]
        passing = {column for column, wanted in enumerate(columns) if wanted is not None} - {at, *waiting}
        rows.append(_row(at, "*", passing, dict.fromkeys(waiting[1:], "'")))
        parent = parents.get(number)
        columns = [None if column in waiting else wanted for column, wanted in enumerate(columns)]
        columns[at] = parent if parent in parents else None
    return tuple(rows)


def _row(at: int, mark: str, passing: Collection[int], corners: Mapping[int, str]) -> str:
    """One row: a mark in its column, lines that pass, and lines that turn towards the mark at a corner."""
    width = max([at, *passing, *corners]) * _STEP + 1
    cells = [" "] * width
    reach = max(corners, default=at) * _STEP
    for place in range(at * _STEP + 1, reach):
        cells[place] = "-"
    for column in passing:
        cells[column * _STEP] = "|"
    for column, corner in corners.items():
        cells[column * _STEP] = corner
    cells[at * _STEP] = mark
    return "".join(cells)
