"""What a step of training makes edits of, and what it asks afterwards; it hangs on the seed and its number alone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from patchmgr.errors import RequestError
from patchmgr.request import EditRequest

Answered = tuple[str, str]
"""A prompt, and the answer behind it."""
_OTHERS = 5
"""Prompts of other requests that validate one without locality probes."""
_DRAWS = 1000
"""Of a group, before there is said to be nothing unrelated."""


@dataclass(frozen=True)
class Group:
    """Edits that are made together, and what is asked of the model that they leave."""

    edits: tuple[Answered, ...]
    asked: tuple[Answered, ...]
    """What shall be answered so: prompts of the edits and rephrasings."""
    unrelated: tuple[Answered, ...]
    """What shall be answered as before, with something that may stand behind it."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """How groups are drawn."""

    requests: Sequence[EditRequest]
    edits: int
    """Of a group."""
    unrelated: int
    """For each edit."""
    seed: int

    @cached_property
    def n_prompts(self) -> int:
        """Different prompts."""
        return len({request.text for request in self.requests})

    def group(self, number: int) -> Group:
        """The group of that number, counted from 0: each edit asked in its own words and once in others.

        Raises:
            RequestError: the data hold nothing that is unrelated to so many edits.
        """
        rng = random.Random(f"{self.seed} {number}")
        drawn = (self._drawn(rng) for _ in range(_DRAWS))
        return _with_unrelated(drawn, self.edits, what="the training data")

    def _drawn(self, rng: random.Random) -> Group:
        chosen: dict[str, EditRequest] = {}
        while len(chosen) < min(self.edits, self.n_prompts):
            request = rng.choice(self.requests)
            chosen.setdefault(request.text, request)
        scope = {text for request in chosen.values() for text in (request.text, *request.rephrasings)}
        asked, unrelated = [], []
        for request in chosen.values():
            again = rng.choice(request.rephrasings or (request.text,))
            asked += [(text, request.target_new) for text in (request.text, again)]
            outside = outside_of(request, scope) or others(self.requests, scope)
            unrelated += [rng.choice(outside) for _ in range(self.unrelated if outside else 0)]
        edits = tuple((request.text, request.target_new) for request in chosen.values())
        return Group(edits, tuple(asked), tuple(unrelated))


def outside_of(request: EditRequest, scope: set[str]) -> list[Answered]:
    """The locality probes of a request, less those that the edits of its group answer."""
    return [(probe.prompt, probe.target) for probe in request.locality if probe.prompt not in scope]


def others(requests: Sequence[EditRequest], scope: set[str]) -> list[Answered]:
    """What other requests ask: unrelated enough to a request that has no locality probes."""
    found = (request for request in requests if request.text not in scope)
    return [(request.text, request.target_true or request.target_new) for request in found]


def whole_groups(requests: Sequence[EditRequest], edits: int, n_edits: int) -> list[Group]:
    """Groups for a validation: the first requests of different prompts, asked everything that is known of them.

    Args:
        requests: what to make groups of.
        edits: of a group.
        n_edits: of all groups, at most; one group is made in any case.

    Raises:
        RequestError: the data hold nothing that is unrelated to so many edits.
    """
    first = list({request.text: request for request in reversed(requests)}.values())[::-1][: max(n_edits, edits)]
    groups = []
    for start in range(0, len(first) - edits + 1, edits):
        own = first[start : start + edits]
        scope = {text for request in own for text in (request.text, *request.rephrasings)}
        groups.append(
            Group(
                tuple((request.text, request.target_new) for request in own),
                tuple((text, r.target_new) for r in own for text in (r.text, *r.rephrasings)),
                tuple(
                    answered
                    for request in own
                    for answered in outside_of(request, scope) or others(requests, scope)[:_OTHERS]
                ),
            )
        )
    _with_unrelated(groups, edits, what="the validation data")
    return groups


def _with_unrelated(groups: Iterable[Group], edits: int, *, what: str) -> Group:
    """The first group of which there is something unrelated to ask."""
    found = next((group for group in groups if group.unrelated), None)
    if found is None:
        raise RequestError(
            f"{what} has nothing that is unrelated to edits={edits}: every prompt rephrases one that is edited",
            hint="give requests of other subjects or locality probes, or make fewer edits together",
        )
    return found


def check_data(requests: Sequence[EditRequest], edits: int, *, what: str) -> None:
    """Make sure that there are prompts enough for a group and one more.

    Raises:
        RequestError: there are too few prompts.
    """
    n_prompts = len({request.text for request in requests})
    if n_prompts <= edits:
        raise RequestError(
            f"{what} has {n_prompts} different prompts, {edits + 1} are needed for edits={edits}",
            hint="give more requests, or make fewer edits together",
        )
