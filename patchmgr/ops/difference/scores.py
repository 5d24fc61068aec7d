"""Scores of two sides beside each other: each on its own edits, and both on whatever both were measured on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from patchmgr.ops.difference.contract import Estimate, ScoreDifference


@dataclass(frozen=True)
class Measured:
    """A score after the edit."""

    metric: str
    protocol: str
    estimate: Estimate


@dataclass(frozen=True)
class Scores:
    """What is known of one side; of two measurements of one thing the later one counts."""

    measured: tuple[Measured, ...]
    """Oldest first."""
    own: str | None
    """Digest of its own edits; None where it was never measured on them."""

    def by_metric(self, dataset_sha256: str | None) -> dict[tuple[str, str], Estimate]:
        """The values on some requests, by metric and protocol."""
        return {
            (one.metric, one.protocol): one.estimate
            for one in self.measured
            if one.estimate.dataset_sha256 == dataset_sha256
        }

    @property
    def others(self) -> dict[str, None]:
        """Digests of the requests beside its own that it was measured on, in order."""
        found = (one.estimate.dataset_sha256 for one in self.measured)
        return dict.fromkeys(digest for digest in found if digest != self.own)


def scores_difference(a: Scores | None, b: Scores | None) -> tuple[ScoreDifference, ...]:
    """Every metric whose value is not the same on both sides, by name.

    What only one side was measured by says nothing of the other, and is left out: but not where the other side is
    nothing at all (None), and not on requests that both were measured on, where a metric that compares a state with
    the one before has a value on one side only.
    """
    left, right = a or Scores((), None), b or Scores((), None)
    own = _pairs(left, left.own, right, right.own, "own")
    found = [one for one in own if a is None or b is None or (one.a is not None and one.b is not None)]
    for digest in sorted(digest for digest in left.others if digest in right.others):
        found += _pairs(left, digest, right, digest, "shared")
    return tuple(one for one in found if _value(one.a) != _value(one.b))


def _pairs(
    a: Scores, data_a: str | None, b: Scores, data_b: str | None, data: Literal["own", "shared"]
) -> Iterable[ScoreDifference]:
    left, right = a.by_metric(data_a), b.by_metric(data_b)
    for metric, protocol in sorted(left.keys() | right.keys()):
        yield ScoreDifference(metric, protocol, data, left.get((metric, protocol)), right.get((metric, protocol)))


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
