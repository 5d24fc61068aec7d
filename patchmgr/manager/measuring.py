"""Carrying an evaluation out: which metrics, on which requests, asked of which states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError, RequestError, UsageError
from patchmgr.evaluate.engine import BATCH_TOKENS, Engine, State
from patchmgr.evaluate.gates import Requirement
from patchmgr.evaluate.measure import Measured, measure, questions
from patchmgr.evaluate.retention import of_package, of_stack
from patchmgr.evaluate.store import AnswerStore
from patchmgr.manager.bench import Bench, find_device
from patchmgr.manager.evaluate import Evaluated, EvaluationOrder, parse_requirements
from patchmgr.metrics.contract import Dataset, Metric
from patchmgr.package.scores import Score
from patchmgr.readers import read_edits
from patchmgr.readers.sample import sample
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.subjects import Subject

PERPLEXITY = "perplexity"
ACCELERATED_BATCH_TOKENS = 8 * BATCH_TOKENS
"""What suits a device that is not the processor."""


@dataclass(frozen=True)
class Measurer:
    """An order with everything in it found: metrics, requests, text, engine."""

    manager: Manager
    order: EvaluationOrder
    metrics: tuple[Metric, ...]
    requests: tuple[EditRequest, ...] | None
    """Those given; None: each subject's own."""
    text: str | None
    device: str

    @classmethod
    def of(cls, manager: Manager, order: EvaluationOrder, requirements: Sequence[Requirement]) -> Measurer:
        """Find everything that the order names.

        Raises:
            NotFoundError: a file that is not there.
            RequestError: a file that cannot be read as what it should be.
            UsageError: an unknown metric or device.
        """
        text = None if order.text is None else _read_text(order.text)
        metrics = choose_metrics(manager.plugins.metrics, order, requirements)
        if text is None and any(metric.asks == "text" for metric in metrics):
            raise UsageError(f"{PERPLEXITY} needs a text", hint="give --text FILE")
        requests = None
        if order.data is not None:
            read = read_edits(order.data, manager.plugins.readers, limit=order.limit, seed=order.seed)
            requests = read.requests
        return cls(manager, order, metrics, requests, text, find_device(order.device))

    def run(self, subject: Subject) -> Evaluated:
        """Measure one subject.

        Raises:
            RequestError: there is nothing to ask, or a probe that cannot be asked.
            IntegrityError: a byte of a base or a package is not what its digest says.
            MethodError: memory ran out.
        """
        from patchmgr.live.shortage import within_memory

        with within_memory(f"measuring {subject.name}", hint="lower --batch-tokens, or try --device cpu"):
            return self._run(subject)

    def _run(self, subject: Subject) -> Evaluated:
        bench = Bench(
            self.manager, subject.base, subject.known, device=self.device, dtype=self.order.dtype, opened=subject.opened
        )
        engine = engine_of(self.manager, device=self.device, batch_tokens=self.order.batch_tokens)
        before, after = bench.state(subject.before), bench.state(subject.after)
        requests = self._drawn(subject.requests) if self.requests is None else self.requests
        if not requests and self.text is None:
            raise RequestError(
                f"{subject.name} carries no edits to measure", hint="give --data FILE, or --text FILE for perplexity"
            )
        data = Dataset(requests, self.text)
        retained = self._retained(engine, bench.state(()), after, subject)
        return Evaluated(
            subject.name,
            subject.digest,
            requests,
            self._measured(engine, data, before, after),
            of_stack(retained, seed=self.order.seed),
            retained,
        )

    def _retained(self, engine: Engine, base: State, after: State, subject: Subject) -> Mapping[str, tuple[Score, ...]]:
        """What each package of a stack scores on it, by reference; nothing when other requests are given."""
        if self.requests is not None:
            return {}
        found = {}
        for manifest, requests in subject.retained:
            drawn = self._drawn(requests)
            if drawn:
                found[manifest.reference] = of_package(self._measured(engine, Dataset(drawn), base, after))
        return found

    def _measured(self, engine: Engine, data: Dataset, before: State, after: State) -> tuple[Measured, ...]:
        wanted = questions(data, self.metrics)
        first = engine.ask(before, wanted, what="asking the state before")
        second = engine.ask(after, wanted, what="asking the state after")
        return measure(data, self.metrics, first, second, seed=self.order.seed)

    def _drawn(self, requests: Sequence[EditRequest]) -> tuple[EditRequest, ...]:
        if self.order.limit is None:
            return tuple(requests)
        drawn = sample([(request,) for request in requests], self.order.limit, self.order.seed)
        return tuple(request for case in drawn for request in case)


def engine_of(manager: Manager, *, device: str = "cpu", batch_tokens: int | None = None) -> Engine:
    """An engine that keeps its answers in the manager's home."""
    default = BATCH_TOKENS if device == "cpu" else ACCELERATED_BATCH_TOKENS
    store = AnswerStore(manager.settings.home / "cache" / "answers")
    return Engine(store, batch_tokens or default, manager.progress)


def default_metrics(manager: Manager) -> tuple[Metric, ...]:
    """What is measured when nobody says what to measure."""
    return tuple(metric for metric in manager.plugins.metrics.values() if metric.default)


def metrics_for(manager: Manager, require: Sequence[str]) -> tuple[Metric, ...]:
    """What is measured when nobody says what to measure, and what requirements need.

    Raises:
        UsageError: a requirement is none, or names an unknown metric.
    """
    return choose_metrics(manager.plugins.metrics, EvaluationOrder(), parse_requirements(manager, require))


def choose_metrics(
    known: Mapping[str, Metric], order: EvaluationOrder, requirements: Sequence[Requirement]
) -> tuple[Metric, ...]:
    """The metrics of an order, with those that its requirements need, in the order in which tables show them.

    Raises:
        UsageError: one is not known, or none is left.
    """
    for name in order.metrics:
        if name not in known:
            raise UsageError(f"there is no metric {name!r}", hint=f"known: {', '.join(known)}")
    chosen = set(order.metrics) or {name for name, metric in known.items() if metric.default}
    if order.text is not None:
        chosen.add(PERPLEXITY)
    if order.protocol is not None:
        chosen = {name for name in chosen if known[name].protocol == order.protocol}
    chosen |= {requirement.measured for requirement in requirements}
    if not chosen:
        raise UsageError(
            f"no metric is left with the protocol {order.protocol!r}", hint="leave --protocol or --metric out"
        )
    return tuple(metric for name, metric in known.items() if name in chosen)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(
            f"the text {str(path)!r} cannot be read: {error.strerror}", hint="give a text file"
        ) from None
    except UnicodeDecodeError:
        raise RequestError(f"{str(path)!r} is not text in UTF-8", hint="convert it") from None
