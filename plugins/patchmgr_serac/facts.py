"""Requests as what SERAC learns from: an entry, the questions in its scope with their answers, and those outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from patchmgr.errors import RequestError
from patchmgr.request import EditRequest

SAME_SUBJECT = "same_subject"
"""The kind of locality probes that ask something else about the edit's subject."""


@dataclass(frozen=True)
class Fact:
    """One request."""

    prompt: str
    label: str
    subject: str | None
    reworded: tuple[tuple[str, str], ...]
    """(question, answer): the prompt itself and its rephrasings."""
    entailed: tuple[tuple[str, str], ...]
    """What its portability probes ask, and their answers."""
    outside: tuple[str, ...]
    """Questions of its locality probes, but for the next."""
    same_subject: tuple[str, ...]
    """Questions about its subject that it does not answer: such locality probes, and other requests' wordings."""

    @property
    def inside(self) -> tuple[tuple[str, str], ...]:
        """All questions in its scope, with their answers."""
        return (*self.reworded, *self.entailed)

    @property
    def entry(self) -> tuple[str, str]:
        """What the memory side is made of."""
        return self.prompt, self.label


@dataclass(frozen=True)
class Facts:
    """The facts of a set of requests, and what lies in whose scope."""

    facts: tuple[Fact, ...]
    scope: dict[str, frozenset[str]]
    """Questions in the scope of each prompt, by all requests that have it."""
    wordings: dict[str, tuple[str, ...]]
    """Each prompt and its rephrasings, by all requests that have it."""

    def outside_of(self, fact: Fact, question: str) -> bool:
        """Whether a question is not known to lie in the scope of a fact's prompt."""
        return question not in self.scope[fact.prompt]


def facts_of(requests: Sequence[EditRequest], *, what: str, entailed: bool = True) -> Facts:
    """What some requests teach.

    Args:
        requests: they may hold the same prompt several times, with other targets.
        what: they are, for messages.
        entailed: learn from what portability probes ask; otherwise they count neither as inside nor as outside.

    Raises:
        RequestError: there are fewer than two prompts, or none has another question in its scope or one outside.
    """
    scope: dict[str, set[str]] = {}
    for request in requests:
        asked = (*_reworded(request), *_entailed(request))
        scope.setdefault(request.text, set()).update(question for question, _ in asked)
    wordings: dict[str, dict[str, None]] = {}
    for request in requests:
        wordings.setdefault(request.text, {}).update(dict.fromkeys(question for question, _ in _reworded(request)))
    about = _by_subject(requests)
    facts = tuple(
        _fact(
            request, scope[request.text], about.get(request.subject or "", ()), _entailed(request) if entailed else ()
        )
        for request in requests
    )
    if len(scope) < 2:
        raise RequestError(f"{what} has fewer than two prompts, so nothing lies outside a scope", hint="give more")
    if all(len(fact.inside) < 2 for fact in facts):
        raise RequestError(
            f"no request of {what} has rephrasings or portability probes, so scopes cannot be learned",
            hint="give questions that a request answers in other words",
        )
    if all(not fact.outside and not fact.same_subject for fact in facts):
        raise RequestError(
            f"no request of {what} has locality probes, so scopes cannot be learned", hint="give some, same_subject too"
        )
    return Facts(
        facts,
        {prompt: frozenset(questions) for prompt, questions in scope.items()},
        {prompt: tuple(questions) for prompt, questions in wordings.items()},
    )


def _fact(request: EditRequest, scope: set[str], about: Iterable[str], entailed: tuple[tuple[str, str], ...]) -> Fact:
    def beyond(questions: Iterable[str]) -> tuple[str, ...]:
        return tuple(question for question in dict.fromkeys(questions) if question not in scope)

    same = [probe.prompt for probe in request.locality if probe.kind == SAME_SUBJECT]
    other = [probe.prompt for probe in request.locality if probe.kind != SAME_SUBJECT]
    return Fact(
        prompt=request.text,
        label=request.target_new,
        subject=request.subject,
        reworded=_reworded(request),
        entailed=entailed,
        outside=beyond(other),
        same_subject=beyond([*same, *about]),
    )


def _reworded(request: EditRequest) -> tuple[tuple[str, str], ...]:
    return tuple((question, request.target_new) for question in (request.text, *request.rephrasings))


def _entailed(request: EditRequest) -> tuple[tuple[str, str], ...]:
    return tuple((probe.prompt, probe.target) for probe in request.portability)


def _by_subject(requests: Iterable[EditRequest]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for request in requests:
        if request.subject is not None:
            asked = (question for question, _ in _reworded(request))
            found.setdefault(request.subject, {}).update(dict.fromkeys(asked))
    return {subject: list(questions) for subject, questions in found.items()}
