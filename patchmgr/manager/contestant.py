"""One variant of a comparison: its packages made and measured, its failures counted, its costs noted."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from patchmgr.durable import storing
from patchmgr.errors import BusyError, IntegrityError, PatchmgrError, StorageError, UsageError
from patchmgr.evaluate.engine import Engine
from patchmgr.evaluate.store import AnswerStore
from patchmgr.manager.machine import forget_peak, peak_bytes
from patchmgr.manager.making import Workpiece
from patchmgr.manager.order import EditOrder
from patchmgr.manager.pooled import pooled
from patchmgr.manager.reporting import metric_rows
from patchmgr.manager.states import ModelState
from patchmgr.manager.workpiece import make
from patchmgr.methods.contract import LoadedModel, Method, MethodParameters
from patchmgr.metrics.contract import Metric
from patchmgr.package.scores import Score
from patchmgr.package.writer import seal
from patchmgr.report.comparison import Failure, Mode, VariantResult
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_NOT_THE_METHODS_FAULT = (StorageError, IntegrityError, BusyError, UsageError)


@dataclass
class Shared:
    """What all variants of a comparison use: one model in memory, and the answers of the base."""

    manager: Manager
    state: ModelState
    root: str
    """State root of the base."""
    metrics: tuple[Metric, ...]
    folder: Path
    """Where packages go."""
    answers: Path
    """Where answers are kept meanwhile."""
    _loaded: LoadedModel | None = None

    @property
    def engine(self) -> Engine:
        """One that remembers for as long as the comparison lasts."""
        return Engine(AnswerStore(self.answers), progress=self.manager.progress)

    def loaded(self) -> LoadedModel:
        """The base in memory."""
        if self._loaded is None:
            from patchmgr.live.load import load_model

            self.manager.progress(0, 1, "loading the model")
            self._loaded = load_model(self.state.base.folder, self.root)
        return self._loaded

    def forget_model(self) -> None:
        """Load it anew: whoever failed may have left anything behind."""
        self._loaded = None


@dataclass
class _Found:
    """What the runs of a variant gave, one entry a run."""

    scores: list[tuple[Score, ...]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Of runs that did not fail, as the next two."""
    sizes: list[int] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A variant, ready to run."""

    shared: Shared
    order: EditOrder
    """With all edits; its name is the variant's."""
    method: Method
    parameters: MethodParameters
    _found: _Found = field(default_factory=_Found)

    def run(self, mode: Mode) -> VariantResult:
        """Make and measure all packages."""
        order, method = self.order, self.method
        if mode == "together":
            self._run(order, None, self.shared.folder / order.name)
        else:
            for number, request in enumerate(order.requests, start=1):
                self.shared.manager.progress(number - 1, len(order.requests), f"editing with {order.name}")
                one = replace(order, requests=(request,))
                self._run(one, number, self.shared.folder / order.name / f"edit-{number:04d}")
        found, n_edits = self._found, len(order.requests)
        scores = found.scores[0] if mode == "together" else pooled(found.scores, self.shared.metrics, seed=order.seed)
        return VariantResult(
            label=order.name,
            method=method.name,
            kind=method.kind,
            version=method.version,
            paper=method.paper,
            parameters=found.parameters or self.parameters.model_dump(mode="json"),
            seed=order.seed,
            n_edits=n_edits,
            n_failed=n_edits if mode == "together" and found.failures else len(found.failures),
            failures=tuple(found.failures),
            rows=metric_rows(scores, self.shared.manager.plugins.metrics),
            seconds=tuple(found.seconds),
            seconds_per_edit=_per_edit(found.seconds, n_edits, mode),
            peak_bytes=max(found.peaks, default=None),
            package_bytes=round(sum(found.sizes) / len(found.sizes)) if found.sizes else None,
            states=tuple(found.roots),
        )

    def _run(self, order: EditOrder, number: int | None, folder: Path) -> None:
        """One package; where there is none, the unchanged model is measured in its place."""
        with storing("a package"):
            folder.mkdir(parents=True)
        try:
            workpiece = self._made(order, folder)
        except _NOT_THE_METHODS_FAULT:
            raise
        except Exception as error:  # whatever a method does: it is counted, and the others go on
            shutil.rmtree(folder, ignore_errors=True)
            self.shared.forget_model()
            self._found.failures.append(Failure(number, order.requests[0].text if number else "all edits", _why(error)))
            self._found.scores.append(self._unchanged(order.requests))
            self._found.roots.append(self.shared.root)
            return
        self._note(workpiece, order, folder)

    def _made(self, order: EditOrder, folder: Path) -> Workpiece:
        shared = self.shared
        loaded = shared.loaded()
        with _peak(self._found.peaks):
            return make(
                shared.manager,
                shared.state,
                self.method,
                self.parameters,
                order,
                folder,
                loaded=loaded,
                engine=shared.engine,
            )

    def _note(self, workpiece: Workpiece, order: EditOrder, folder: Path) -> None:
        with storing("a package"):
            manifest = seal(folder, workpiece.draft, workpiece.requests, workpiece.scores)
        found = self._found
        found.scores.append(workpiece.scores)
        found.seconds.append(next((c.value for c in workpiece.cost if c.metric == "cost/seconds"), 0.0))
        found.sizes.append(len(manifest.to_bytes()) + sum(file.size_bytes for file in manifest.files.values()))
        found.roots.append(next(score.state_root for score in workpiece.scores if score.phase == "after"))
        if not found.parameters:
            found.parameters = dict(manifest.method.parameters)

    def _unchanged(self, requests: Sequence[EditRequest]) -> tuple[Score, ...]:
        from patchmgr.evaluate.measure import measure_change

        shared = self.shared
        return measure_change(shared.engine, shared.loaded(), requests, shared.metrics, {}, shared.root)


@contextlib.contextmanager
def _peak(found: list[int]) -> Iterator[None]:
    forget_peak()
    yield
    found.append(peak_bytes())


def _per_edit(seconds: Sequence[float], n_edits: int, mode: Mode) -> float | None:
    if not seconds:
        return None
    return seconds[0] / n_edits if mode == "together" else median(seconds)


def _why(error: Exception) -> str:
    if isinstance(error, PatchmgrError):
        return error.message
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
