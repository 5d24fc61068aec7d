"""Scores as a table: before and after, each metric under its name and protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from patchmgr.cli.render import table

if TYPE_CHECKING:
    from patchmgr.package.scores import Score


def score_lines(scores: Iterable[Score]) -> str:
    """One row a metric and protocol."""
    scores = tuple(scores)
    before = {(score.metric, score.protocol): score.value for score in scores if score.phase == "before"}
    rows = []
    for score in scores:
        if score.phase == "after":
            was = before.get((score.metric, score.protocol))
            rows.append(
                [score.metric, score.protocol, score.n, "" if was is None else f"{was:.3f}", f"{score.value:.3f}"]
            )
    return table(rows, ["METRIC", "PROTOCOL", "N", "BEFORE", "AFTER"], right=[2, 3, 4]) if rows else "(no scores)"
