"""ES and DD of SERAC's harder tasks (arXiv:2206.06520, section 4): QA-hard, fact checking, and dialogue sentiment.

``es`` and ``dd`` of plain question answering are in :mod:`patchmgr.metrics.accuracy` and
:mod:`patchmgr.metrics.locality`; ``dd`` is that of QA-hard and of fact checking as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from patchmgr.metrics.accuracy import edited, rephrased
from patchmgr.metrics.contract import Answers, Dataset, Forced, Metric, ProbeValue
from patchmgr.metrics.equations import divergence, sentiment_success
from patchmgr.package.scores import Protocol
from patchmgr.readers.convsent import CONTRAST, REPLY
from patchmgr.request import EditRequest, Probe

CLAIM = "claim"
"""Kind of the portability probes that are claims with their verdict."""


class HardEditSuccess(Metric):
    """ES of SERAC on QA-hard: the whole answer right on everything that is in scope, entailed questions included."""

    name: ClassVar[str] = "es_hard"
    protocol: ClassVar[Protocol] = "tf"
    definition: ClassVar[str] = (
        "share of edit prompts, rephrasings and portability questions whose whole target is the argmax; "
        "SERAC ES (QA-hard)"
    )
    splits: ClassVar[bool] = True

    def probes(self, request: EditRequest) -> Iterable[Probe]:
        """What is in scope, each with its own answer; replies of the unwanted sentiment are not."""
        yield from (edited(request), *rephrased(request))
        yield from (probe for probe in request.portability if probe.kind != CONTRAST)

    def questions(self, data: Dataset) -> Iterator[Forced]:
        """Everything in scope."""
        for request in data.requests:
            for probe in self.probes(request):
                yield Forced(probe.prompt, probe.target)

    def values(self, data: Dataset, reference: Answers, state: Answers) -> Iterator[ProbeValue]:
        """1.0 where every token is right."""
        del reference
        for unit, request in enumerate(data.requests):
            for probe in self.probes(request):
                answer = state.forced(probe.prompt, probe.target)
                right = float(answer.target == answer.found)
                yield ProbeValue(unit, right, probe.prompt, probe.target, probe.kind or "")


class ClaimAccuracy(HardEditSuccess):
    """ES of SERAC on fact checking: accuracy of the verdicts on claims about the evidence."""

    name: ClassVar[str] = "es_fc"
    definition: ClassVar[str] = "share of claims with the right verdict (portability kind claim); SERAC ES (FC)"
    splits: ClassVar[bool] = False

    def probes(self, request: EditRequest) -> Iterable[Probe]:
        """The claims."""
        return (probe for probe in request.portability if probe.kind == CLAIM)


class SentimentSuccess(Metric):
    """ES of SERAC on ConvSent: z_sent · z_topic, from how likely replies of both sentiments are."""

    name: ClassVar[str] = "es_sent"
    protocol: ClassVar[Protocol] = "tf"
    definition: ClassVar[str] = (
        "z_sent * z_topic from the likelihood of replies of both sentiments (portability kinds reply and contrast); "
        "SERAC ES (ConvSent)"
    )

    def questions(self, data: Dataset) -> Iterator[Forced]:
        """Replies of both sentiments, of requests that have both."""
        for request in data.requests:
            for replies in _replies(request):
                yield from replies

    def values(self, data: Dataset, reference: Answers, state: Answers) -> Iterator[ProbeValue]:
        """One value a request."""
        for unit, request in enumerate(data.requests):
            wanted, unwanted = _replies(request)
            if wanted:
                value = sentiment_success(
                    _log_probabilities(reference, wanted),
                    _log_probabilities(state, wanted),
                    _log_probabilities(state, unwanted),
                )
                yield ProbeValue(unit, value, request.text, request.target_new)


class SentimentDrawdown(Metric):
    """DD of SERAC on ConvSent: KL(before ‖ after) where nothing should change, estimated from one answer a probe."""

    name: ClassVar[str] = "dd_sent"
    protocol: ClassVar[Protocol] = "tf"
    definition: ClassVar[str] = (
        "KL(before || after) a token out of scope in nats, estimated on the answers of locality probes; "
        "SERAC DD (ConvSent)"
    )
    compares: ClassVar[bool] = True
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    def questions(self, data: Dataset) -> Iterator[Forced]:
        """The locality probes, forced on their own answers."""
        for request in data.requests:
            for probe in request.locality:
                yield Forced(probe.prompt, probe.target)

    def values(self, data: Dataset, reference: Answers, state: Answers) -> Iterator[ProbeValue]:
        """The mean over the tokens of each answer, which counts for as many as it has."""
        for unit, request in enumerate(data.requests):
            for probe in request.locality:
                before = reference.forced(probe.prompt, probe.target).log_probabilities
                after = state.forced(probe.prompt, probe.target).log_probabilities
                value = divergence(before, after)
                yield ProbeValue(unit, value, probe.prompt, probe.target, probe.kind or "", float(len(before)))


def _replies(request: EditRequest) -> tuple[list[Forced], list[Forced]]:
    """Those of the wanted sentiment and of the other; none at all unless there are both."""
    wanted, unwanted = (
        [Forced(probe.prompt, probe.target) for probe in request.portability if probe.kind == kind]
        for kind in (REPLY, CONTRAST)
    )
    return (wanted, unwanted) if wanted and unwanted else ([], [])


def _log_probabilities(answers: Answers, replies: Iterable[Forced]) -> list[float]:
    """Of all tokens of all replies."""
    return [each for reply in replies for each in answers.forced(reply.prompt, reply.target).log_probabilities]
