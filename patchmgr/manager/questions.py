"""The verbs that ask: what there is, what a model says, and how good it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

if TYPE_CHECKING:
    from patchmgr.manager.bisect.contract import Bisection, BisectOrder
    from patchmgr.manager.blame.contract import Blame, TensorBlame
    from patchmgr.manager.compare import ComparisonOrder
    from patchmgr.manager.conflicts.conflicts import Conflicts, ConflictsOrder
    from patchmgr.manager.convert import Reading
    from patchmgr.manager.diff.diff import DiffOrder
    from patchmgr.manager.evaluate import Evaluation, EvaluationOrder
    from patchmgr.manager.generate import Answer
    from patchmgr.manager.harness import HarnessOrder, HarnessReport
    from patchmgr.manager.log import History
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.search import Found
    from patchmgr.manager.show import Edits, PackageView
    from patchmgr.manager.status import ModelStatus
    from patchmgr.methods.contract import LoadedModel
    from patchmgr.ops.difference.contract import Difference
    from patchmgr.readers import Conversion
    from patchmgr.report.comparison import Comparison
    from patchmgr.report.contract import Report
    from patchmgr_registry import Event, ForgottenRecord, ModelRecord, PackageRecord


class Questions:
    """What :class:`patchmgr.manager.manager.Manager` can be asked; each verb lives in a file of its own."""

    @property
    @abstractmethod
    def _manager(self) -> Manager:
        """The manager itself."""

    def list_models(self) -> tuple[ModelRecord, ...]:
        """Every model, by name."""
        return self._manager.registry.models()

    def show_model(self, name: str) -> ModelRecord:
        """Where a model's base came from and what it is known by; NotFoundError when there is none."""
        return self._manager.registry.model(name)

    def convert(
        self, source: Path, destination: Path | None = None, *, overwrite: bool = False, **reading: Unpack[Reading]
    ) -> Conversion:
        """Editing data in any known format as requests; see :func:`patchmgr.manager.convert.convert`."""
        from patchmgr.manager.convert import convert

        return convert(self._manager, source, destination, overwrite=overwrite, **reading)

    def status(self, model: str | None = None) -> tuple[ModelStatus, ...]:
        """What a model is now, or every model."""
        from patchmgr.manager.status import status

        return status(self._manager, model)

    def path(self, model: str, *, weights_only: bool = False) -> Path:
        """The folder of a model's current state, an ordinary checkpoint; see :func:`patchmgr.manager.status.path`."""
        from patchmgr.manager.status import path

        return path(self._manager, model, weights_only=weights_only)

    def load(
        self,
        model: str,
        references: Sequence[str] = (),
        *,
        dtype: Literal["auto", "float32"] = "auto",
        device: str = "cpu",
    ) -> LoadedModel:
        """A model in memory, packages tried on top of it; see :func:`patchmgr.manager.load.load`."""
        from patchmgr.manager.load import load

        return load(self._manager, model, self._manager.nearby(references), dtype=dtype, device=device)

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        references: Sequence[str] = (),
        compare: bool = False,
        max_new_tokens: int = 20,
    ) -> Answer:
        """Ask a model; see :func:`patchmgr.manager.generate.generate`."""
        from patchmgr.manager.generate import generate

        trial = self._manager.nearby(references)
        return generate(self._manager, model, prompt, references=trial, compare=compare, max_new_tokens=max_new_tokens)

    def evaluate(self, references: Sequence[str], order: EvaluationOrder) -> Evaluation:
        """Measure packages or a model; see :func:`patchmgr.manager.evaluate.evaluate`."""
        from patchmgr.manager.evaluate import evaluate

        return evaluate(self._manager, self._manager.nearby(references), order)

    def report(self, references: Sequence[str], order: EvaluationOrder, done: Evaluation) -> Report:
        """What an evaluation found, to be written down; see :func:`patchmgr.manager.reporting.report`."""
        from patchmgr.manager.reporting import report

        return report(self._manager, self._manager.nearby(references), order, done)

    def harness(self, references: Sequence[str], order: HarnessOrder) -> HarnessReport:
        """Run tasks of lm-evaluation-harness before and after; see :func:`patchmgr.manager.harness.harness`."""
        from patchmgr.manager.harness import harness

        return harness(self._manager, references, order)

    def conflicts(self, words: Sequence[str], order: ConflictsOrder) -> Conflicts:
        """What packages have to do with each other; see :func:`patchmgr.manager.conflicts.conflicts.conflicts`."""
        from patchmgr.manager.conflicts.conflicts import conflicts

        return conflicts(self._manager, self._manager.nearby(words), order)

    def compare(self, model: str, order: ComparisonOrder) -> Comparison:
        """Several methods on one set of edits; see :func:`patchmgr.manager.compare.compare`."""
        from patchmgr.manager.compare import compare

        return compare(self._manager, model, order)

    def bisect(self, model: str, order: BisectOrder) -> Bisection:
        """Which package, or which change, turned good into bad; see :func:`patchmgr.manager.bisect.run.bisect`."""
        from patchmgr.manager.bisect.run import bisect

        return bisect(self._manager, model, order)

    def blame(
        self,
        model: str,
        prompt: str,
        *,
        target: str | None = None,
        exhaustive: bool = False,
        device: str = "cpu",
        dtype: Literal["auto", "float32", "bfloat16"] = "float32",
    ) -> Blame:
        """Which package and edit answers a prompt; see :func:`patchmgr.manager.blame.prompt.blame_prompt`."""
        from patchmgr.manager.blame.prompt import blame_prompt

        return blame_prompt(
            self._manager, model, prompt, target=target, exhaustive=exhaustive, device=device, dtype=dtype
        )

    def blame_tensor(self, model: str, name: str) -> TensorBlame:
        """Which packages wrote a tensor; see :func:`patchmgr.manager.blame.tensor.blame_tensor`."""
        from patchmgr.manager.blame.tensor import blame_tensor

        return blame_tensor(self._manager, model, name)

    def list_packages(self, *, limit: int | None = None) -> tuple[PackageRecord, ...]:
        """Every package with its newest version, by name; with a limit the first of them."""
        return self._manager.registry.packages(limit=limit)

    def show_edits(self, reference: str, *, offset: int = 0, limit: int | None = None) -> Edits:
        """The requests of a version, a page of them; see :func:`patchmgr.manager.show.show_edits`."""
        from patchmgr.manager.show import show_edits

        return show_edits(self._manager, reference, offset=offset, limit=limit)

    def search(self, text: str, *, package: str | None = None, limit: int = 50) -> Found:
        """Find edits and messages by their words; see :func:`patchmgr.manager.search.search`."""
        from patchmgr.manager.search import search

        return search(self._manager, text, package=package, limit=limit)

    def tags(self, package: str | None = None) -> Mapping[str, Mapping[str, int]]:
        """The tags of a package, or of all: package to tag to version number."""
        from patchmgr.manager.tags import tags

        return tags(self._manager, package)

    def forgotten(self, reference: str) -> ForgottenRecord | None:
        """What is known of a version that was erased; None: this names none."""
        from patchmgr.manager.forget import find_forgotten

        return find_forgotten(self._manager, reference)

    def show(self, reference: str) -> PackageView:
        """Everything known of one package version."""
        from patchmgr.manager.show import show

        return show(self._manager, reference)

    def diff(self, a: str, b: str | None = None, order: DiffOrder | None = None) -> Difference:
        """What differs between two packages or two states; see :func:`patchmgr.manager.diff.diff.diff`."""
        from patchmgr.manager.diff.diff import diff

        near = self._manager.nearby([a] if b is None else [a, b])
        return diff(self._manager, near[0], None if b is None else near[1], order)

    def log(self, name: str, *, limit: int | None = None) -> History:
        """The generations of a model, or the versions of a package, newest first; with a limit the newest of them."""
        from patchmgr.manager.log import log

        return log(self._manager, name, limit=limit)

    def log_pages(self, name: str, *, limit: int | None = None) -> Iterator[History]:
        """The same, a page at a time; see :func:`patchmgr.manager.log.log_pages`."""
        from patchmgr.manager.log import log_pages

        return log_pages(self._manager, name, limit=limit)

    def events(self, model: str | None = None, *, limit: int | None = None) -> tuple[Event, ...]:
        """The events about a model, or all, oldest first."""
        from patchmgr.manager.audit.trail import events

        return events(self._manager, model, limit=limit)
