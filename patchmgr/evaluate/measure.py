"""From answers to scores: each metric under its own name and protocol, with an interval, and the values behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_hex
from patchmgr.evaluate.engine import Engine, State
from patchmgr.evaluate.intervals import interval, statistic, tabulate
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Router
from patchmgr.metrics.contract import Answers, Dataset, Metric, ProbeValue, Question
from patchmgr.package.scores import Phase, Score
from patchmgr.request import EditRequest, dump_requests

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Measured:
    """A score, and the probe values that it is made of."""

    score: Score
    values: tuple[ProbeValue, ...]


def questions(data: Dataset, metrics: Iterable[Metric]) -> tuple[Question, ...]:
    """Everything that some metrics ask, nothing twice."""
    return tuple(dict.fromkeys(question for metric in metrics for question in metric.questions(data)))


def measure(
    data: Dataset, metrics: Sequence[Metric], before: Answers, after: Answers, *, seed: int = 0
) -> tuple[Measured, ...]:
    """The scores of a state before and after.

    Args:
        data: what was asked.
        metrics: which scores; one without a probe in the data gives none.
        before: answers of the state before.
        after: answers of the state after.
        seed: decides the draws of the intervals, and is noted in the scores.
    """
    digests = {
        "requests": sha256_hex(dump_requests(data.requests)),
        "text": sha256_hex((data.text or "").encode()),
    }
    found: list[Measured] = []
    states: Mapping[Phase, Answers] = {"before": before, "after": after}
    for metric in metrics:
        for phase, state in states.items():
            if phase == "before" and metric.compares:
                continue
            for name, values in _split(metric, tuple(metric.values(data, before, state))):
                found.append(_measured(metric, name, values, phase, state, digests[metric.asks], seed))
    return tuple(found)


def measure_change(
    engine: Engine,
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    metrics: Sequence[Metric],
    weights: Mapping[str, Tensor],
    root: str,
    router: Router | None = None,
) -> tuple[Score, ...]:
    """The scores of a loaded state, and of the same state with other weights, or with memories.

    Args:
        engine: how they are asked.
        loaded: the state before; it has its own weights again afterwards.
        requests: the edits.
        metrics: which scores.
        weights: by parameter name, those of the state after.
        root: of the state after.
        router: the memories of the state after.

    Raises:
        RequestError: a probe whose target has no tokens.
    """
    from patchmgr.live.replace import replaced

    data = Dataset(tuple(requests))
    wanted = questions(data, metrics)
    before = engine.ask(_state(loaded, loaded.state_root), wanted, what="asking the state before")
    with replaced(loaded.model, weights):
        after = engine.ask(_state(replace(loaded, router=router), root), wanted, what="asking the state after")
    return tuple(one.score for one in measure(data, metrics, before, after))


def _state(loaded: LoadedModel, root: str) -> State:
    """A loaded model as a state, with the precision and the device that it really computes in."""
    compute_dtype = str(loaded.model.dtype).removeprefix("torch.")
    return State(root, lambda: nullcontext(loaded), compute_dtype, loaded.model.device.type)


def _split(metric: Metric, values: tuple[ProbeValue, ...]) -> Iterator[tuple[str, tuple[ProbeValue, ...]]]:
    """The values of a metric, and those of each of its parts."""
    if values:
        yield metric.name, values
    parts = dict.fromkeys(value.part for value in values if value.part) if metric.splits else ()
    for part in parts:
        yield f"{metric.name}/{part}", tuple(value for value in values if value.part == part)


def _measured(
    metric: Metric,
    name: str,
    values: tuple[ProbeValue, ...],
    phase: Phase,
    state: Answers,
    dataset: str,
    seed: int,
) -> Measured:
    table = tabulate(
        [value.unit for value in values],
        [value.value for value in values],
        [value.weight for value in values],
        [value.part for value in values],
    )
    limits = interval(*table, metric.combine, seed=seed)
    made = Score(
        metric=name,
        protocol=metric.protocol,
        phase=phase,
        value=statistic(*table, metric.combine),
        n=len(values),
        low=limits[0] if limits else None,
        high=limits[1] if limits else None,
        dataset_sha256=dataset,
        state_root=state.state_root,
        seed=seed,
        compute_dtype=state.compute_dtype,
    )
    return Measured(made, values)
