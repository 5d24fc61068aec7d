"""What is known of how good two sides are: scores in the packages, and those of later evaluations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_hex
from patchmgr.evaluate.gates import RETENTION
from patchmgr.ops.difference.contract import Estimate, ScoreDifference
from patchmgr.ops.difference.scores import Measured, Scores, scores_difference
from patchmgr.request import dump_requests

if TYPE_CHECKING:
    from patchmgr.manager.diff.sides import Packages, PackageSide, States, StateSide
    from patchmgr.manager.manager import Manager
    from patchmgr.package.scores import Score
    from patchmgr_registry import ScoreRecord

_OF_THE_MAKING = "run"
"""Protocol of what making a package cost: seconds and bytes of one machine on one day, and no property of it."""


def package_scores(manager: Manager, sides: Packages) -> tuple[ScoreDifference, ...]:
    """The scores after the edit, each package on its own edits, and both on what both were evaluated on."""
    return scores_difference(*(_of_package(manager, side) for side in (sides.a, sides.b)))


def state_scores(manager: Manager, sides: States) -> tuple[ScoreDifference, ...]:
    """Whatever was measured on both states, and of each the scores on the edits of its own stack."""
    return scores_difference(*(_of_state(manager, side) for side in (sides.a, sides.b)))


def _of_package(manager: Manager, side: PackageSide | None) -> Scores | None:
    if side is None:
        return None
    inside = side.package.scores
    later = manager.registry.scores(side.package.manifest.digest) if _is_registered(manager, side) else ()
    known: list[Score | ScoreRecord] = [*inside, *later]
    measured = (score for score in known if score.phase == "after")
    own = inside[0].dataset_sha256 if inside else sha256_hex(dump_requests(side.package.requests))
    return Scores(tuple(_measured(measured)), own)


def _of_state(manager: Manager, side: StateSide) -> Scores:
    """Before an edit or after it, a score is one of the state that it names."""
    root = side.generation.state_root
    known = manager.registry.scores_of_state(root) if root else ()
    ordered = sorted(known, key=lambda score: score.phase == "after")
    requests = [request for manifest in side.stack for request in manager.registry.edits(manifest.digest)]
    return Scores(tuple(_measured(ordered)), sha256_hex(dump_requests(requests)) if requests else None)


def _is_registered(manager: Manager, side: PackageSide) -> bool:
    return manager.registry.version_by_digest(side.package.manifest.digest) is not None


def _measured(scores: Iterable[Score | ScoreRecord]) -> Iterable[Measured]:
    for score in scores:
        if score.protocol != _OF_THE_MAKING and not score.metric.startswith(RETENTION):
            estimate = Estimate(score.value, score.n, score.low, score.high, score.dataset_sha256)
            yield Measured(score.metric, score.protocol, estimate)
