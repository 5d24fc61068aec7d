"""Trials of a method on real records: packages are made, measured on canonical states, and their values pooled."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from patchmgr.evaluate.intervals import interval, statistic, tabulate
from patchmgr.manager.evaluate import EvaluationOrder
from patchmgr.manager.handle import ModelHandle
from patchmgr.manager.manager import Manager
from patchmgr.metrics.contract import Metric, ProbeValue
from patchmgr.request import EditRequest

METRICS = ("efficacy", "paraphrase", "neighborhood", "score", "reliability")


@dataclass(frozen=True)
class Trial:
    """What decides the figures of one row."""

    method: str
    settings: tuple[str, ...]
    kind: str
    """``single``: a package for each record; ``batch``: one for all."""
    n_edits: int
    seed: int
    base: str
    """Digest of the weights that are edited."""

    @property
    def key(self) -> str:
        """For a file of results."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Figure:
    """A metric over all records, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """One row: metrics of the edited states, and what making them took."""

    before: dict[str, Figure]
    after: dict[str, Figure]
    seconds: float
    """Of the method alone, an edit."""
    cpu_seconds: float
    all_seconds: float
    """With loading, packing and measuring."""


class Outcomes:
    """The outcomes of a cache, by trial; written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, trial: Trial) -> Outcome | None:
        """What was measured before."""
        found = self._read().get(trial.key)
        if found is None:
            return None
        figures = {
            phase: {name: Figure(**figure) for name, figure in found[phase].items()} for phase in ("before", "after")
        }
        return Outcome(**{**found, **figures})

    def keep(self, trial: Trial, outcome: Outcome) -> None:
        """Add it to the file."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({**self._read(), trial.key: asdict(outcome)}, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._path)

    def _read(self) -> dict[str, dict]:
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}


def run(manager: Manager, model: str, trial: Trial, chosen: Sequence[EditRequest], warm: EditRequest) -> Outcome:
    """Make the packages of a trial and measure each on the state that it makes of the base.

    Args:
        manager: where the model is.
        model: its name.
        trial: what to do.
        chosen: the records to edit.
        warm: another one, edited first, so that statistics are there.

    Raises:
        PatchmgrError: the method cannot edit this.
    """
    handle: ModelHandle = manager.model(model)
    how = {"method": trial.method, "seed": trial.seed, "on": "base"}
    parameters = dict(setting.split("=", 1) for setting in trial.settings)
    handle.edit("warm", [warm], **how, **parameters)
    packages = [list(chosen)] if trial.kind == "batch" else [[request] for request in chosen]
    start = time.perf_counter()
    made = [handle.edit("trial", package, **how, **parameters) for package in packages]
    references = [f"trial@v{one.version.number}" for one in made]
    done = manager.evaluate(references, EvaluationOrder(metrics=METRICS))
    all_seconds = (time.perf_counter() - start) / len(chosen)
    cost = [{score.metric: score.value for score in one.cost} for one in made]
    metrics = manager.plugins.metrics
    values = [{(m.score.metric, m.score.phase): m.values for m in subject.measured} for subject in done.subjects]
    return Outcome(
        before={name: _pooled(metrics[name], [each[name, "before"] for each in values]) for name in METRICS},
        after={name: _pooled(metrics[name], [each[name, "after"] for each in values]) for name in METRICS},
        seconds=sum(each["cost/seconds"] for each in cost) / len(chosen),
        cpu_seconds=sum(each["cost/cpu_seconds"] for each in cost) / len(chosen),
        all_seconds=all_seconds,
    )


def _pooled(metric: Metric, packages: Iterable[Sequence[ProbeValue]]) -> Figure:
    """A metric over several packages: records are drawn for the interval, whatever package they are in."""
    units: dict[tuple[int, int], int] = {}
    values = [
        replace(value, unit=units.setdefault((number, value.unit), len(units)))
        for number, package in enumerate(packages)
        for value in package
    ]
    table = tabulate(
        [value.unit for value in values],
        [value.value for value in values],
        [value.weight for value in values],
        [value.part for value in values],
    )
    low, high = interval(*table, metric.combine, seed=0) or (float("nan"), float("nan"))
    return Figure(statistic(*table, metric.combine), low, high)
