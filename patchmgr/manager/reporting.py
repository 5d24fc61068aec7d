"""From an evaluation to its report: what the scores alone do not tell is looked up, and nothing is asked again.

What the states said comes from the answers that evaluating kept; where they are gone, the report does without them.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.evaluate.gates import RETENTION
from patchmgr.manager.making import LIBRARIES
from patchmgr.manager.said import Said
from patchmgr.manager.subjects import Subject, find_subjects
from patchmgr.manager.wrong import edit_rows, regressions_and_misses
from patchmgr.ops import stack as stacks
from patchmgr.ops.additive import as_sum
from patchmgr.ops.deltas import finite, norm, tensor_norm
from patchmgr.package.encodings.contract import matrix_shape
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Phase, Score
from patchmgr.report.contract import (
    Conditions,
    Estimate,
    GateRow,
    MetricCard,
    MetricRow,
    PackageChange,
    Report,
    SubjectReport,
    TensorChange,
)
from patchmgr.report.words import card, retention_card

if TYPE_CHECKING:
    from patchmgr.manager.evaluate import Evaluated, Evaluation, EvaluationOrder
    from patchmgr.manager.manager import Manager
    from patchmgr.metrics.contract import Metric


def report(manager: Manager, references: Sequence[str], order: EvaluationOrder, done: Evaluation) -> Report:
    """The report of an evaluation that was just made.

    Args:
        manager: the registry.
        references: as they were given to :func:`patchmgr.manager.evaluate.evaluate`.
        order: likewise.
        done: what it returned.

    Raises:
        PatchmgrError: a package or base that was there is not any more.
    """
    subjects = find_subjects(manager, references)
    found = tuple(_subject(manager, subject, order, one) for subject, one in zip(subjects, done.subjects, strict=True))
    scores = [score for one in done.subjects for score in one.scores]
    conditions = Conditions(
        data=order.data.name if order.data else "",
        text=order.text.name if order.text else None,
        limit=order.limit,
        seed=order.seed,
        device=order.device,
        protocols=tuple(dict.fromkeys(score.protocol for score in scores)),
        libraries=libraries(),
    )
    gates = tuple(
        GateRow(gate.subject, str(gate.requirement), gate.value, gate.requirement.bound, gate.met)
        for gate in done.gates
    )
    return Report(found, conditions, cards(manager.plugins.metrics, scores), gates)


def libraries() -> dict[str, str]:
    """The versions of patchmgr and of what it computes with."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def cards(known: Mapping[str, Metric], scores: Sequence[Score]) -> tuple[MetricCard, ...]:
    """What each metric that was measured is, in the order of tables."""
    measured = {score.metric.removeprefix(RETENTION).partition("/")[0] for score in scores}
    retained = any(score.metric.startswith(RETENTION) for score in scores)
    return (
        *(card(metric) for name, metric in known.items() if name in measured),
        *((retention_card(),) if retained else ()),
    )


def metric_rows(scores: Sequence[Score], known: Mapping[str, Metric]) -> tuple[MetricRow, ...]:
    """Scores before and after, side by side."""
    before = {(score.metric, score.protocol): _estimate(score) for score in scores if score.phase == "before"}
    rows = []
    for score in scores:
        if score.phase == "after":
            metric = known.get(score.metric.removeprefix(RETENTION).partition("/")[0])
            was = before.get((score.metric, score.protocol))
            better = metric.better if metric else "higher"
            rows.append(MetricRow(score.metric, score.protocol, score.n, was, _estimate(score), better))
    return tuple(rows)


def _estimate(score: Score) -> Estimate:
    return Estimate(score.value, score.low, score.high)


@dataclass(frozen=True)
class _Roots:
    """The states of a subject."""

    before: str
    after: str


def _subject(manager: Manager, subject: Subject, order: EvaluationOrder, one: Evaluated) -> SubjectReport:
    known = manager.plugins.metrics
    roots = _roots(subject, one)
    dtype = one.measured[0].score.compute_dtype if one.measured else order.dtype
    said = Said.of(manager, subject.base, roots.before, roots.after, dtype=dtype, device=order.device)
    regressions, misses = regressions_and_misses(one.measured, known)
    change = [manifest for manifest in subject.after if manifest.digest not in stacks.digests(subject.before)]
    record = change[-1].base if change else None
    return SubjectReport(
        name=one.subject,
        kind="model" if subject.retains else "package",
        digest=one.digest,
        base_source=record.source if record else "",
        base_revision=record.revision if record else None,
        base_fingerprint=subject.known.weights_root,
        root_before=roots.before,
        root_after=roots.after,
        dataset_sha256=tuple(dict.fromkeys(measured.score.dataset_sha256 for measured in one.measured)),
        n_edits=len(one.requests),
        dtype=dtype,
        rows=metric_rows(one.scores, known),
        edits=said.of_edits(edit_rows(one.requests, one.measured, known)),
        regressions=said.of_probes(regressions, known),
        misses=said.of_probes(misses, known),
        packages=tuple(_package(manager, subject, digest) for digest in stacks.digests(change)),
        retention={
            reference: {score.metric: score.value for score in scores if score.metric.count("/") == 1}
            for reference, scores in one.of_packages.items()
        },
    )


def _roots(subject: Subject, one: Evaluated) -> _Roots:
    """As the scores say; the state before, of which a metric may have no score, from the manifests."""
    told: dict[Phase, str] = {measured.score.phase: measured.score.state_root for measured in one.measured}
    before = told.get("before")
    if before is None:
        before = subject.after[-1].parent.root if not subject.retains else stacks.state_root(subject.known)
    return _Roots(before, told.get("after", before))


def _package(manager: Manager, subject: Subject, digest: str) -> PackageChange:
    from patchmgr.manager.states import open_packages

    manifest = next(manifest for manifest in subject.after if manifest.digest == digest)
    package = subject.opened.get(digest) or open_packages(manager, [manifest])[0]
    return PackageChange(
        reference=manifest.reference,
        digest=digest,
        made=manifest.created,
        author=manifest.author,
        message=manifest.message,
        license=manifest.license,
        method=manifest.method.name,
        method_version=manifest.method.version,
        method_seed=manifest.method.seed,
        parameters=dict(manifest.method.parameters),
        n_edits=manifest.n_edits,
        size_bytes=len(manifest.to_bytes()) + sum(file.size_bytes for file in manifest.files.values()),
        made_on=manifest.parent.packages,
        tensors=_tensors(manager, package, subject.base),
    )


def _tensors(manager: Manager, package: EditPackage, base: Checkpoint) -> tuple[TensorChange, ...]:
    deltas = package.deltas(manager.plugins.encodings)
    found = []
    for number, tensor in enumerate(package.manifest.tensors):
        manager.progress(number, len(package.manifest.tensors), "measuring the change")
        stored, shape = base.read_bytes(tensor.name), matrix_shape(tensor.shape)
        bits = np.frombuffer(stored, np.uint8)
        change = as_sum(deltas[tensor.name], stored=bits, dtype=tensor.dtype, shape=shape)
        found.append(
            TensorChange(
                tensor.name,
                tensor.dtype,
                tensor.shape,
                tensor.encoding,
                None if change is None else finite(norm(change)),
                tensor_norm(stored, tensor.dtype),
            )
        )
    return tuple(found)
