"""The parts of a printed difference that were measured: weights, scores, answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from patchmgr.cli.diff_words import added, arrow, counted, length, removed, title
from patchmgr.cli.render import short, table
from patchmgr.cli.scores import number

if TYPE_CHECKING:
    from patchmgr.ops.difference.contract import (
        AnswersDifference,
        DeltaFacts,
        Difference,
        Estimate,
        ScoreDifference,
        TensorDifference,
    )


def weights_lines(found: Difference) -> Iterator[str]:
    """A row for each tensor."""
    if not found.weights:
        return
    yield title(f"weights: {counted(len(found.weights), 'tensor')}")
    rows = [
        [
            one.name,
            _where(one, found),
            _pair(one, lambda facts: "+".join(facts.encodings)),
            _pair(one, lambda facts: "-" if facts.rank is None else str(facts.rank)),
            _pair(one, lambda facts: length(facts.norm)),
            _pair(one, lambda facts: length(facts.ratio)),
            length(one.distance),
            "-" if one.cosine is None else f"{one.cosine:.3f}",
        ]
        for one in found.weights
    ]
    header = ["TENSOR", "IN", "STORED AS", "RANK", "‖Δ‖", "‖Δ‖/‖W‖", "‖Δb−Δa‖", "COSINE"]
    yield from (f"  {line}" for line in table(rows, header, right=[6, 7]).splitlines())


def tensor_summary(one: TensorDifference) -> str:
    """The norms of a tensor's changes on one line."""
    norms = arrow(*(length(facts.norm) if facts else "0" for facts in (one.a, one.b)))
    cosine = "" if one.cosine is None else f", cosine {one.cosine:.3f}"
    return f"‖Δ‖ {norms}, ‖Δb−Δa‖ {length(one.distance)}{cosine}"


def scores_lines(found: Difference) -> Iterator[str]:
    """A row for each metric; what was measured on given requests says on which."""
    if not found.scores:
        return
    data = [(one.a.dataset_sha256, one.b.dataset_sha256) for one in found.scores if one.a and one.b]
    yield title("scores" if all(a == b for a, b in data) else "scores, each on its own edits")
    shared = any(one.data == "shared" for one in found.scores)
    rows = [
        [
            one.metric,
            one.protocol,
            _estimate(one.a),
            _estimate(one.b),
            change(one),
            *([_requests(one)] if shared else []),
        ]
        for one in found.scores
    ]
    header = ["METRIC", "PROTOCOL", found.a.name, found.b.name, "CHANGE", *(["REQUESTS"] if shared else [])]
    yield from (f"  {line}" for line in table(rows, header, right=[4]).splitlines())


def change(one: ScoreDifference) -> str:
    """How much higher the second side is.

    >>> from patchmgr.ops.difference.contract import Estimate, ScoreDifference
    >>> change(ScoreDifference("reliability", "tf", "own", Estimate(1.0, 3, None, None, ""), None))
    'gone'
    """
    if one.change is None:
        return "gone" if one.b is None else "new"
    return f"{'+' if one.change > 0 else '−'}{number(abs(one.change))}"


def answers_lines(answers: AnswersDifference | None) -> Iterator[str]:
    """Each prompt with what either state says, and what its edits want to hear."""
    if answers is None or not answers.differing:
        return
    yield title(f"answers: {len(answers.differing)} of {answers.n_asked} differ")
    for one in answers.differing:
        yield f"  {one.role}: {one.prompt}"
        yield f"    {removed(f'{one.a}{_verdict(one.right_a, one.wanted_a)}')}"
        yield f"    {added(f'{one.b}{_verdict(one.right_b, one.wanted_b)}')}"


def _verdict(right: bool | None, wanted: str | None) -> str:
    if right is None:
        return ""
    return "  ✓" if right else f"  ✗ {wanted}"


def _where(one: TensorDifference, found: Difference) -> str:
    names = [side.name for side, facts in ((found.a, one.a), (found.b, one.b)) if facts is not None]
    return names[0] if len(names) == 1 else "both" if names else "the bases"


def _pair(one: TensorDifference, text: Callable[[DeltaFacts], str]) -> str:
    """A fact of both sides, or of the one that has it."""
    found = [text(facts) for facts in (one.a, one.b) if facts is not None]
    return arrow(found[0], found[-1]) if found else "-"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return number(estimate.value)
    return f"{number(estimate.value)} ({number(estimate.low)}–{number(estimate.high)})"


def _requests(one: ScoreDifference) -> str:
    known = one.a or one.b
    return "its own" if one.data == "own" or known is None else short(known.dataset_sha256)
