"""Conflicts that show when the model is asked: what became worse since a package was made, and who made it so.

Every probe of a package is asked twice: of the state that the package was made to give, and of the whole stack. Where
the second answer is worse, delta debugging (:mod:`patchmgr.ops.conflict.ddmin`) finds packages that make it so and of
which none can be left out. No state is written or loaded for that: see :mod:`patchmgr.manager.subsets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError
from patchmgr.evaluate.measure import questions
from patchmgr.manager.measuring import default_metrics
from patchmgr.manager.states import stack_of
from patchmgr.manager.subsets import Subsets, Which, open_subsets
from patchmgr.metrics.contract import Dataset, Metric, Question
from patchmgr.ops import stack as stacks
from patchmgr.ops.conflict.ddmin import ddmin
from patchmgr.ops.conflict.keys import CrossTalk
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.conflicts.among import Among
    from patchmgr.manager.conflicts.conflicts import ConflictsOrder
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.progress import Progress


@dataclass(frozen=True)
class Worse:
    """A probe that scores less than it did when its package was made."""

    reference: str
    edit: int
    """Which of the package's edits it belongs to, from 0."""
    prompt: str
    target: str
    is_edit: bool
    """It is the edit itself, and not a question around it."""
    scores: Mapping[str, tuple[float, float]]
    """By metric: when the package was made, and now."""
    culprits: tuple[str, ...] | None = None
    """Packages that make it worse, none of which can be left out; None: it was not looked for."""

    @property
    def lost(self) -> bool:
        """It is an edit that was wholly right, and is not any more."""
        return self.is_edit and any(made == 1.0 and now < 1.0 for made, now in self.scores.values())


@dataclass(frozen=True)
class Pair:
    """Two packages that do not leave each other's probes alone."""

    first: str
    second: str
    worse: tuple[Worse, ...]


@dataclass(frozen=True)
class Executed:
    """What asking the model showed."""

    worse: tuple[Worse, ...]
    """On the whole stack; edits first."""
    pairs: tuple[Pair, ...]
    n_probes: int
    n_evaluations: int
    """How often the model, loaded once, was asked something with some of the packages."""


def execute(manager: Manager, among: Among, order: ConflictsOrder, talks: Sequence[CrossTalk]) -> Executed:
    """Ask the model.

    Args:
        manager: the registry; nothing is stored.
        among: the packages.
        order: how much to ask, and where.
        talks: key cross-talk, which says whom to suspect first.

    Raises:
        NotFoundError: no model stands on the packages' base.
        ConflictError: two packages replace one tensor.
        MethodError: memory ran out.
    """
    if among.model is None:
        raise NotFoundError(
            f"no model here stands on the base of {among.stack[0].reference}, so it cannot be asked",
            hint=f"`patchmgr model add NAME {among.stack[0].base.source}` first",
        )
    there = set(stacks.digests(among.stack))
    below = [digest for manifest in among.stack for digest in manifest.parent.packages if digest not in there]
    packages = (*stack_of(manager, dict.fromkeys(below)), *among.stack)
    metrics = default_metrics(manager)
    with open_subsets(manager, among.model.name, packages, device=order.device, opened=among.opened) as subsets:
        asking = _Asking(subsets, among, metrics, _suspects(talks))
        worse = asking.on_all() if order.run else ()
        found = [asking.explained(one) if place < order.most else one for place, one in enumerate(worse)]
        pairs = tuple(asking.pairs(manager.progress)) if order.pairs else ()
        return Executed(tuple(found), pairs, asking.n_probes, subsets.n_evaluations)


class _Asking:
    """The packages that are looked at, as places among the opened ones."""

    def __init__(
        self,
        subsets: Subsets,
        among: Among,
        metrics: Sequence[Metric],
        suspects: Mapping[tuple[str, int], Sequence[str]],
    ) -> None:
        self._subsets, self._metrics, self._suspects = subsets, metrics, suspects
        self._place = {manifest.digest: i for i, manifest in enumerate(subsets.packages)}
        self._of_reference = {manifest.reference: i for i, manifest in enumerate(subsets.packages)}
        self._looked_at = [self._place[digest] for digest in stacks.digests(among.stack)]
        self._edits = {self._place[digest]: requests for digest, requests in among.edits.items()}
        self._added = frozenset(self._place[digest] for digest in among.asked)
        self.n_probes = 0

    def on_all(self) -> tuple[Worse, ...]:
        """Everything that is worse on the whole stack, edits first."""
        everything = self._with_parents(self._looked_at)
        together = [question for place in self._looked_at for question in self._questions(place)]
        self._subsets.ask(together, everything)  # at once: in large batches
        self.n_probes = len(set(together))
        found = [one for place in self._looked_at for one in self._worse(place, self._made(place), everything)]
        return tuple(sorted(found, key=lambda one: not one.is_edit))

    def pairs(self, progress: Progress) -> Iterator[Pair]:
        """Every two packages of which one makes a probe of the other worse."""
        every = [pair for pair in combinations(self._looked_at, 2) if not self._added.isdisjoint(pair)]
        for done, pair in enumerate(every):
            progress(done, len(every), "trying pairs")
            both = self._with_parents(pair)
            self._subsets.ask([question for place in pair for question in self._questions(place)], both)
            worse = [one for place in pair for one in self._worse(place, self._with_parents({place}), both)]
            if worse:
                yield Pair(self._name(pair[0]), self._name(pair[1]), tuple(worse))

    def explained(self, worse: Worse) -> Worse:
        """The same, with packages that did it."""
        place = self._of_reference[worse.reference]
        made = self._made(place)
        metric = next(metric for metric in self._metrics if metric.name in worse.scores)
        request = self._edits[place][worse.edit]
        key = (metric.name, 0, worse.prompt, worse.target)

        def fails(part: Sequence[int]) -> bool:
            values = self._values([request], [metric], self._below(place), made | self._with_parents(part))
            return values[key] < worse.scores[metric.name][0]

        others = [other for other in self._looked_at if other not in made]
        ranked = [self._of_reference[name] for name in self._suspects.get((worse.reference, worse.edit), ())]
        order = [*(other for other in ranked if other in others), *(other for other in others if other not in ranked)]
        alone = bool(ranked) and len(order) > 1 and fails(order[:1])
        culprits = order[:1] if alone else ddmin(order, fails)
        return replace(worse, culprits=tuple(self._name(other) for other in sorted(culprits)))

    def _worse(self, place: int, made: Which, now: Which) -> Iterator[Worse]:
        """The probes of a package that score less now than when it was made."""
        requests = self._edits[place]
        was = self._values(requests, self._metrics, self._below(place), made)
        present = self._values(requests, self._metrics, self._below(place), now)
        found: dict[tuple[int, str, str], dict[str, tuple[float, float]]] = {}
        for (metric, edit, prompt, target), value in was.items():
            if present[metric, edit, prompt, target] < value:
                scores = found.setdefault((edit, prompt, target), {})
                scores[metric] = value, present[metric, edit, prompt, target]
        for (edit, prompt, target), scores in found.items():
            yield Worse(self._name(place), edit, prompt, target, prompt == requests[edit].text, scores)

    def _values(
        self, requests: Sequence[EditRequest], metrics: Sequence[Metric], before: Which, now: Which
    ) -> dict[tuple[str, int, str, str], float]:
        """What each probe scores on a state, by metric, request, prompt and target."""
        data = Dataset(tuple(requests))
        wanted = questions(data, metrics)
        reference = self._subsets.ask(wanted, before) if any(metric.compares for metric in metrics) else None
        state = self._subsets.ask(wanted, now)
        return {
            (metric.name, value.unit, value.prompt, value.target): value.value
            for metric in metrics
            for value in metric.values(data, reference or state, state)
        }

    def _questions(self, place: int) -> tuple[Question, ...]:
        return questions(Dataset(self._edits[place]), self._metrics)

    def _made(self, place: int) -> Which:
        """The state that its probes are held against: the one that it gave, or the stack before others are added."""
        if place in self._added:
            return self._with_parents({place})
        return self._with_parents(set(self._looked_at) - self._added)

    def _below(self, place: int) -> Which:
        """What it was computed on."""
        return self._with_parents({place}) - {place}

    def _with_parents(self, places: Iterable[int]) -> Which:
        """Packages, and those that they were computed on."""
        chosen = set(places)
        manifests = self._subsets.packages
        return frozenset(chosen | {self._place[digest] for i in chosen for digest in manifests[i].parent.packages})

    def _name(self, place: int) -> str:
        return self._subsets.packages[place].reference


def _suspects(talks: Iterable[CrossTalk]) -> dict[tuple[str, int], tuple[str, ...]]:
    """Whom to suspect first where a fact fails: who speaks loudest at its key."""
    return {(talk.reference, talk.edit): tuple(name for name, _ in talk.others) for talk in talks}
