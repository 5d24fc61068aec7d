"""Evaluation: what packages and models score, held against gates, and kept in the registry with an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from patchmgr.errors import UsageError
from patchmgr.evaluate.gates import GateResult, Requirement, enforce, judge
from patchmgr.evaluate.measure import Measured
from patchmgr.manager.bench import ComputeDtype
from patchmgr.manager.packages import score_record
from patchmgr.manager.subjects import Subject, find_subjects, would_be
from patchmgr.package.scores import Score
from patchmgr.request import EditRequest
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class EvaluationOrder:
    """What to measure, with what, and how."""

    data: Path | None = None
    """Requests in any known format; None: the packages' own edits."""
    metrics: tuple[str, ...] = ()
    """Names; none: those that are measured by default, and perplexity where there is a text."""
    require: tuple[str, ...] = ()
    protocol: Literal["tf", "gen"] | None = None
    """Only metrics of this protocol."""
    text: Path | None = None
    """A held-out text for perplexity."""
    limit: int | None = None
    """At most so many requests of each set, drawn by relation."""
    seed: int = 0
    device: str = "cpu"
    dtype: ComputeDtype = "float32"
    batch_tokens: int | None = None
    """Rows times padded length of a batch; None: what suits the device."""


@dataclass(frozen=True)
class Evaluated:
    """What one package or model scored."""

    subject: str
    """A reference, or the name of a model."""
    digest: str | None
    """Of the package, when it is registered."""
    requests: tuple[EditRequest, ...]
    """What was measured with."""
    measured: tuple[Measured, ...]
    """Scores before and after, with the values behind them."""
    retention: tuple[Score, ...] = ()
    """Means over the packages of a model."""
    of_packages: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    """What each package of a model still scores, by reference."""

    @property
    def scores(self) -> tuple[Score, ...]:
        """Every score of the subject itself."""
        return (*(one.score for one in self.measured), *self.retention)


@dataclass(frozen=True)
class Evaluation:
    """All subjects, and what came of the requirements."""

    subjects: tuple[Evaluated, ...]
    gates: tuple[GateResult, ...] = ()

    def check(self) -> None:
        """Let nothing pass that was required and not met.

        Raises:
            GateError: naming every requirement that failed, and by how much.
        """
        enforce(self.gates, hint="the scores are kept; see `patchmgr show`")


def evaluate(manager: Manager, references: Sequence[str], order: EvaluationOrder) -> Evaluation:
    """Measure packages, each against the state that it was made on, or one model against its base.

    The scores are stored whether or not the requirements are met; :meth:`Evaluation.check` says whether they are.

    Raises:
        NotFoundError: no such package, model, file or base.
        UsageError: an unknown metric or device, or a requirement that is none.
        RequestError: a probe that cannot be asked.
        IntegrityError: a byte of a base or a package is not what its digest says.
    """
    from patchmgr.manager.measuring import Measurer

    requirements = parse_requirements(manager, order.require)
    measurer = Measurer.of(manager, order, requirements)
    subjects = find_subjects(manager, references)
    if any(wanted.retains for wanted in requirements) and not all(subject.retains for subject in subjects):
        raise UsageError(
            "retention is of a model, and a package was named", hint="name the model, or leave retention/ out"
        )
    done = tuple(measurer.run(subject) for subject in subjects)
    gates = tuple(result for one in done for result in judge(one.subject, requirements, one.scores))
    store_scores(manager, subjects, done)
    return Evaluation(done, gates)


def check_gates(
    manager: Manager,
    model: str,
    references: Sequence[str],
    requirements: Sequence[str],
    *,
    subject: Subject | None = None,
    order: EvaluationOrder | None = None,
) -> Evaluation:
    """Measure the state that a model would be in with these packages, before anything changes; nothing is stored.

    A plain metric is measured on the edits of the packages that would be added, against the model as it is;
    ``retention/…`` on every package of the stack as it would be, against the base.

    Args:
        manager: the registry.
        model: the model that would be changed.
        references: packages that would be put on top.
        requirements: such as ``reliability>=0.95``.
        subject: another change of the model than these packages on top.
        order: how to measure; its own requirements are ignored.

    Raises:
        GateError: naming every requirement that would not be met, and by how much.
        PatchmgrError: as for ``apply`` and :func:`evaluate`.
    """
    from patchmgr.manager.measuring import Measurer

    wanted = parse_requirements(manager, requirements)
    chosen = order or EvaluationOrder()
    names = tuple(dict.fromkeys(requirement.measured for requirement in wanted))
    measurer = Measurer.of(manager, replace(chosen, metrics=(*chosen.metrics, *names)), wanted)
    done = measurer.run(subject or would_be(manager, model, references))
    gates = judge(done.subject, wanted, done.scores)
    enforce(gates, hint=f"{model} is as it was")
    return Evaluation((done,), gates)


def parse_requirements(manager: Manager, texts: Sequence[str]) -> tuple[Requirement, ...]:
    """Requirements as users write them.

    Raises:
        UsageError: one is none, or names an unknown metric.
    """
    return tuple(Requirement.parse(text, manager.plugins.metrics) for text in texts)


def store_scores(manager: Manager, subjects: Sequence[Subject], done: Sequence[Evaluated]) -> None:
    """Keep what was measured: one transaction with every score and one event."""
    objects: list[EventObject] = []
    with manager.registry.begin() as tx:
        for subject, one in zip(subjects, done, strict=True):
            objects.append(subject.event_object)
            if one.digest is not None or subject.retains:
                tx.add_scores(one.digest, [score_record(score) for score in one.scores])
            for reference, scores in one.of_packages.items():
                digest = manager.registry.version(reference).digest
                objects.append(EventObject("package", reference, digest))
                tx.add_scores(digest, [score_record(score) for score in scores])
        tx.record_event(
            manager.origin,
            "evaluate",
            objects=objects,
            scores=[score.to_json() for one in done for score in one.scores],
        )
        tx.commit()
