"""Scores that were measured again and again: the newest of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchmgr_registry import Result, ScoreRecord

HEADLINES = ("reliability", "generalization", "locality")
"""What a list has room for."""


def newest(scores: Iterable[ScoreRecord]) -> tuple[ScoreRecord, ...]:
    """The last of those that measure the same thing: metric, protocol, phase, requests, state, seed and precision."""
    found: dict[tuple[object, ...], ScoreRecord] = {}
    for score in scores:
        key = measured_thing(score)
        found.pop(key, None)  # so that it comes last
        found[key] = score
    return tuple(found.values())


def measured_thing(score: ScoreRecord) -> tuple[object, ...]:
    """What two scores must share to be measurements of one thing."""
    return (
        score.metric,
        score.protocol,
        score.phase,
        score.dataset_sha256,
        score.state_root,
        score.seed,
        score.compute_dtype,
    )


def headlines(results: Sequence[Result], *, own: bool = False) -> dict[str, float]:
    """The last value of each metric that a list shows, in its order.

    Args:
        results: in :data:`HEADLINES`, oldest first.
        own: only on the requests that the first was measured with, which for a version are its own edits.
    """
    known = [result for result in results if not own or result.dataset_sha256 == results[0].dataset_sha256]
    last = {result.metric: result.value for result in known}
    return {name: last[name] for name in HEADLINES if name in last}
