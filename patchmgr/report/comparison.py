"""What a comparison of methods says, as plain values; see :mod:`patchmgr.report.contract`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from patchmgr.report.contract import MetricCard, MetricRow

Mode = Literal["together", "one-by-one"]


@dataclass(frozen=True)
class Failure:
    """An edit, or all of them together, that a method gave up on."""

    edit: int | None
    """From 1; None: all together."""
    prompt: str
    reason: str


@dataclass(frozen=True)
class VariantResult:
    """One method with its settings on all edits."""

    label: str
    method: str
    kind: Literal["weights", "memory"]
    """What its packages are: changes of weights, or a memory that is asked before unchanged weights."""
    version: str
    paper: str
    parameters: Mapping[str, Any]
    """Every parameter with the value that was used."""
    seed: int
    n_edits: int
    n_failed: int
    failures: tuple[Failure, ...]
    rows: tuple[MetricRow, ...]
    """A failed edit counts as it left the model: unchanged."""
    seconds: tuple[float, ...]
    """Of the method alone, one entry a run: an edit, or all together. Only runs that did not fail."""
    seconds_per_edit: float | None
    """One by one: the median. Together: the whole time by the number of edits. None: every run failed."""
    peak_bytes: int | None
    """Largest memory of the process while the method ran, the model included."""
    package_bytes: int | None
    """One by one: the mean of the packages. Together: of the only one."""
    states: tuple[str, ...]
    """State root after each run: the same run must give the same."""


@dataclass(frozen=True)
class Comparison:
    """Several methods, or one with several settings, on one set of edits."""

    model: str
    base_source: str
    base_revision: str | None
    base_fingerprint: str
    root_before: str
    data: str
    """Name of the file."""
    dataset_sha256: str
    n_edits: int
    limit: int | None
    seed: int
    mode: Mode
    machine: str
    libraries: Mapping[str, str]
    metrics: tuple[MetricCard, ...]
    variants: tuple[VariantResult, ...]

    @property
    def title(self) -> str:
        """What it is called."""
        return f"Comparison of {', '.join(variant.label for variant in self.variants)} on {self.model}"
