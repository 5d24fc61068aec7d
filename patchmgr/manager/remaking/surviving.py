"""What survives a rebase, fact by fact: did an edit hold where it was made, and does it hold where it is now?

Everything was asked before: when the old version was made, and when the new one was. What is still known of that is
not asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import PatchmgrError
from patchmgr.evaluate.measure import Measured
from patchmgr.manager.bench import ComputeDtype
from patchmgr.manager.evaluate import EvaluationOrder
from patchmgr.manager.order import EditDtype
from patchmgr.manager.remaking.picking import labels
from patchmgr.manager.subjects import find_subjects
from patchmgr.package.manifest import Manifest
from patchmgr.package.scores import Phase

if TYPE_CHECKING:
    from patchmgr.manager.evaluate import Evaluated
    from patchmgr.manager.manager import Manager

HOLDS = "exact_match"
"""The metric that says whether an edit holds: what the model says freely begins with the target."""
Scores = Mapping[str, float]
"""The mean over the probes of one edit, by metric."""


@dataclass(frozen=True)
class Fact:
    """One edit in three states."""

    edit: str
    """Its id, or its place such as ``#3``."""
    prompt: str
    target: str
    was: Scores | None
    """With the old version, where that was made; None: not known."""
    bare: Scores
    """Where the new version was made, without it."""
    now: Scores
    """With the new version."""

    @property
    def held(self) -> bool | None:
        """Whether it held before; None: not known."""
        return None if self.was is None else self.was[HOLDS] == 1

    @property
    def holds(self) -> bool:
        """Whether it holds now."""
        return self.now[HOLDS] == 1


@dataclass(frozen=True)
class Survival:
    """All edits of a rebased package."""

    facts: tuple[Fact, ...]
    unknown: str = ""
    """Why it is not known what held before; empty: it is."""

    def count(self, *, held: bool | None, holds: bool) -> int:
        """How many edits held before and hold now, or not."""
        return sum((fact.held, fact.holds) == (held, holds) for fact in self.facts)


def survival(manager: Manager, old: Manifest, new: str, *, device: str, dtype: EditDtype) -> Survival:
    """What became of each edit of a package.

    Args:
        manager: the registry.
        old: the version before.
        new: the version after; it holds the same edits in the same order.
        device: where the new one was measured.
        dtype: what it was measured in.

    Raises:
        MethodError: memory ran out.
    """
    there, unknown = _evaluated(manager, new, device, dtype), ""
    was: list[Scores | None] = [None] * len(there.requests)
    try:
        was[:] = _of_each(_evaluated(manager, old.reference, device, dtype), "after")
    except PatchmgrError as missing:  # its base is not on this machine, or a package below it
        unknown = missing.message
    bare, now = _of_each(there, "before"), _of_each(there, "after")
    names = labels(there.requests)
    facts = (
        Fact(names[place], request.text, request.target_new, was[place], bare[place], now[place])
        for place, request in enumerate(there.requests)
    )
    return Survival(tuple(facts), unknown)


def _evaluated(manager: Manager, reference: str, device: str, dtype: EditDtype) -> Evaluated:
    from patchmgr.manager.measuring import Measurer

    (subject,) = find_subjects(manager, [reference])
    return Measurer.of(manager, EvaluationOrder(device=device, dtype=compute_dtype(device, dtype)), ()).run(subject)


def compute_dtype(device: str, dtype: EditDtype) -> ComputeDtype:
    """What an edit of this dtype was measured in, as an evaluation names it."""
    if dtype == "auto":
        return "float32" if device == "cpu" else "auto"
    return "auto" if dtype == "float16" else dtype


def _of_each(evaluated: Evaluated, phase: Phase) -> list[Scores]:
    """The scores of each edit."""
    found: list[dict[str, float]] = [{} for _ in evaluated.requests]
    for one in evaluated.measured:
        if one.score.phase == phase and "/" not in one.score.metric:
            for unit, value in _means(one).items():
                found[unit][one.score.metric] = value
    return list(found)


def _means(one: Measured) -> Mapping[int, float]:
    sums: dict[int, list[float]] = {}
    for value in one.values:
        sums.setdefault(value.unit, []).append(value.value)
    return {unit: _mean(values) for unit, values in sums.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
