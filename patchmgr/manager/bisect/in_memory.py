"""Judging states in memory: the base is loaded once, and each state comes into force by its exact sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from patchmgr.errors import RequestError, UsageError
from patchmgr.evaluate.gates import GateResult, Requirement
from patchmgr.evaluate.gates import judge as judge_gates
from patchmgr.evaluate.measure import measure, questions
from patchmgr.manager.bisect.contract import BisectOrder, Expectation, Gate, LineState, Look
from patchmgr.manager.bisect.line import check_root
from patchmgr.manager.evaluate import EvaluationOrder, parse_requirements
from patchmgr.manager.subsets import Subsets, Which
from patchmgr.metrics.contract import Answers, Dataset, Free, Metric
from patchmgr.metrics.equations import starts_with_target
from patchmgr.package.manifest import Manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

Judged = tuple[bool, str, str]
"""Whether a state is good, why, and its root."""

Judge = Callable[[Subsets, Which], Judged]


def in_one_row(line: Iterable[LineState]) -> dict[int, tuple[str, Manifest]]:
    """All packages of some states in one row: place to digest and manifest.

    A memory that changed its place in the course of history stands in it more than once, so that the memories of every
    state are found in their order.
    """
    row: dict[int, tuple[str, Manifest]] = {}
    for state in line:
        last = -1
        for digest, manifest in zip(state.digests, state.stack, strict=True):
            place = _place(row, digest, manifest, last)
            row[place] = (digest, manifest)
            last = place if manifest.kind == "memory" else last
    return row


def places_in(row: dict[int, tuple[str, Manifest]], state: LineState) -> Which:
    """The places of the row that make up a state whose packages stand in it."""
    places: set[int] = set()
    last = -1
    for digest, manifest in zip(state.digests, state.stack, strict=True):
        place = _place(row, digest, manifest, last)
        places.add(place)
        last = place if manifest.kind == "memory" else last
    return frozenset(places)


def _place(row: dict[int, tuple[str, Manifest]], digest: str, manifest: Manifest, last: int) -> int:
    """Where a package stands, a memory behind the last one; where it would be added when it does not."""
    least = last if manifest.kind == "memory" else -1
    return next((place for place, (known, _) in row.items() if known == digest and place > least), len(row))


def looked_at(judge: Judge, subsets: Subsets, state: LineState, which: Which) -> Look:
    """What a state of the line is judged to be.

    Raises:
        IntegrityError: in memory it is not the state that the registry knows; names both roots.
        PatchmgrError: as those of :class:`patchmgr.manager.subsets.Subsets`.
    """
    good, why, root = judge(subsets, which)
    check_root(state, root)
    return Look(state.name, "good" if good else "bad", why, root)


def expectation_judge(test: Expectation) -> Judge:
    """Asks for a greedy answer, as many tokens as the expected one and two more.

    Raises:
        UsageError: prompt or expectation is empty.
    """
    if not test.prompt.strip() or not test.expect.strip():
        raise UsageError("the prompt or what is expected is empty", hint='such as --prompt "1 + 1 is" --expect 2')
    question = Free(test.prompt, answer=test.expect)

    def judge(subsets: Subsets, which: Which) -> Judged:
        answers = subsets.ask([question], which)
        text = answers.free(question).text
        begins = bool(starts_with_target(text, test.expect))
        return begins != test.negated, " ".join(text.split()), answers.state_root

    return judge


def gate_judge(manager: Manager, test: Gate, order: BisectOrder) -> Judge:
    """Measures the required metrics on given data, as ``evaluate MODEL --data FILE`` would.

    Raises:
        UsageError: a requirement is none or is about retention, or nothing is given to measure with.
        NotFoundError: there is no such file.
        RequestError: a file that cannot be read as what it should be.
    """
    from patchmgr.manager.measuring import Measurer

    required = parse_requirements(manager, test.require)
    if any(wanted.retains for wanted in required):
        raise UsageError("what a stack retains is not comparable from state to state", hint="leave retention/ out")
    if test.data is None and test.text is None:
        raise UsageError("there is nothing to measure with", hint="give --data FILE")
    names = tuple(dict.fromkeys(wanted.measured for wanted in required))
    asked = EvaluationOrder(
        test.data, names, test.require, None, test.text, test.limit, test.seed, order.device, order.dtype
    )
    measurer = Measurer.of(manager, asked, required)
    data = Dataset(measurer.requests or (), measurer.text)
    return _measuring(data, measurer.metrics, required, test.seed)


def _measuring(data: Dataset, metrics: Sequence[Metric], required: Sequence[Requirement], seed: int) -> Judge:
    wanted = questions(data, metrics)
    compares = any(metric.compares for metric in metrics)

    def reference(subsets: Subsets, answers: Answers) -> Answers:
        """What the base says, where a metric compares with that."""
        return subsets.ask(wanted, frozenset()) if compares else answers

    def judge(subsets: Subsets, which: Which) -> Judged:
        answers = subsets.ask(wanted, which)
        measured = measure(data, metrics, reference(subsets, answers), answers, seed=seed)
        results = judge_gates("the state", required, [one.score for one in measured])
        return all(map(_met, results)), ", ".join(map(_told, results)), answers.state_root

    return judge


def _met(result: GateResult) -> bool:
    if result.value is None:
        raise RequestError(
            f"no probe of the data measures {result.requirement.metric}", hint="give other data, or another metric"
        )
    return result.met


def _told(result: GateResult) -> str:
    return f"{result.requirement.metric} {result.value:.4g}"
