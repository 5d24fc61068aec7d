"""Measuring a state: the model's answers to all probes, kept so that two states can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchmgr.canonical import sha256_hex
from patchmgr.evaluate.answers import forced_tokens, greedy_texts
from patchmgr.evaluate.metrics import agreement, starts_with_target, token_accuracy
from patchmgr.evaluate.probes import collect_probes
from patchmgr.methods.contract import LoadedModel
from patchmgr.package.scores import Phase, Protocol, Score
from patchmgr.request import EditRequest, Probe, dump_requests

Forced = tuple[tuple[int, ...], tuple[int, ...]]
Values = tuple[str, Protocol, list[float]]
"""Metric, protocol, and one value a probe."""
EXTRA_TOKENS = 2
"""Generated beyond the target's own length, so that a differently split answer still fits."""


@dataclass(frozen=True)
class Answers:
    """What one state answers: (target, argmax) tokens of every probe, and free text behind every edit prompt."""

    state_root: str
    forced: dict[Probe, Forced]
    free: dict[Probe, str]


def ask(loaded: LoadedModel, requests: Sequence[EditRequest], state_root: str) -> Answers:
    """Ask a state all probes of the requests, each distinct probe once.

    Raises:
        RequestError: a probe whose target has no tokens.
    """
    probes = collect_probes(requests)
    distinct = tuple(dict.fromkeys(probes.all))
    forced = dict(zip(distinct, forced_tokens(loaded, distinct), strict=True))
    prompts = tuple(dict.fromkeys(probes.reliability))
    lengths = [len(forced[probe][0]) + EXTRA_TOKENS for probe in prompts]
    texts = greedy_texts(loaded, [probe.prompt for probe in prompts], lengths)
    return Answers(state_root, forced, dict(zip(prompts, texts, strict=True)))


def score(requests: Sequence[EditRequest], before: Answers, after: Answers) -> tuple[Score, ...]:
    """The scores of a state before and after an edit, each metric under its own name and protocol.

    ``locality`` is the share of answer tokens that are what they were; it has no value before the edit. Its kinds
    (``neighborhood``, ``same_subject``) are scored apart as well.
    """
    dataset = sha256_hex(dump_requests(requests))
    measured: list[tuple[Phase, str, Protocol, list[float]]] = [
        *(("before", *row) for row in _own_values(requests, before)),
        *(("after", *row) for row in _own_values(requests, after)),
        *(("after", *row) for row in _locality_values(requests, before, after)),
    ]
    return tuple(
        Score(
            metric=metric,
            protocol=protocol,
            phase=phase,
            value=sum(values) / len(values),
            n=len(values),
            dataset_sha256=dataset,
            state_root=before.state_root if phase == "before" else after.state_root,
        )
        for phase, metric, protocol, values in measured
        if values
    )


def _own_values(requests: Sequence[EditRequest], answers: Answers) -> list[Values]:
    probes = collect_probes(requests)
    groups = (
        ("reliability", probes.reliability),
        ("generalization", probes.generalization),
        ("portability", probes.portability),
    )
    forced: list[Values] = [
        (metric, "tf", [token_accuracy(*answers.forced[probe]) for probe in group]) for metric, group in groups
    ]
    free = [starts_with_target(answers.free[probe], probe.target) for probe in probes.reliability]
    return [*forced, ("exact_match", "gen", free)]


def _locality_values(requests: Sequence[EditRequest], before: Answers, after: Answers) -> list[Values]:
    probes = collect_probes(requests).locality
    kept = {probe: agreement(before.forced[probe][1], after.forced[probe][1]) for probe in probes}
    kinds = dict.fromkeys(probe.kind for probe in probes if probe.kind)
    return [
        ("locality", "tf", [kept[probe] for probe in probes]),
        *((f"locality/{kind}", "tf", [kept[p] for p in probes if p.kind == kind]) for kind in kinds),
    ]
