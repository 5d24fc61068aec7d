"""Facts that several packages claim: with one target it is a duplicate, with two a contradiction.

Two requests are about the same fact when they have the same subject and relation, or the same prompt written out. What
they say is compared as the metric ``exact_match`` compares an answer with a target: case and spaces do not count, all
else does. Nothing is guessed: two wordings of one question are one fact only where a relation says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from patchmgr.metrics.equations import normalise
from patchmgr.package.manifest import Manifest
from patchmgr.request import EditRequest


@dataclass(frozen=True)
class Claim:
    """What one package says of a fact in one wording; the last word, where it says that several times."""

    reference: str
    digest: str
    """Of the package."""
    prompt: str
    """Written out."""
    target: str
    parents: tuple[str, ...] = ()
    """Digests of the packages that its own was computed on."""

    def changes(self, other: Claim) -> bool:
        """Whether its package was computed on the other's, so that what that says was there to be changed."""
        return other.digest in self.parents

    def disagrees(self, other: Claim) -> bool:
        """Whether another package says something else."""
        return self.digest != other.digest and normalise(self.target) != normalise(other.target)


@dataclass(frozen=True)
class SharedFact:
    """A fact that several packages claim."""

    claims: tuple[Claim, ...]
    """In the order of the packages."""

    @property
    def prompt(self) -> str:
        """The fact, as the first package asks for it."""
        return self.claims[0].prompt

    @cached_property
    def opposed(self) -> tuple[tuple[Claim, Claim], ...]:
        """Every two claims of two packages that contradict each other, in the order of the packages."""
        return tuple(_pairs(self.claims))

    @property
    def conflicting(self) -> tuple[tuple[Claim, Claim], ...]:
        """Those of them in which neither package was computed on the other, so that nobody decided between them."""
        return tuple(pair for pair in self.opposed if not decided(pair))


def decided(pair: tuple[Claim, Claim]) -> bool:
    """Whether one of two claims was made on a state that had the other, and thereby changed it."""
    return pair[0].changes(pair[1]) or pair[1].changes(pair[0])


def shared_facts(edits: Sequence[tuple[Manifest, Sequence[EditRequest]]]) -> tuple[SharedFact, ...]:
    """The facts that two or more of these packages claim, in the order in which they are first claimed.

    >>> shared_facts(())
    ()
    """
    facts = _Facts()
    claimed = [
        (
            facts.add(names_of(request)),
            Claim(manifest.reference, manifest.digest, request.text, request.target_new, manifest.parent.packages),
        )
        for manifest, requests in edits
        for request in requests
    ]
    found: dict[int, dict[tuple[str, str], Claim]] = {}
    for number, claim in claimed:
        found.setdefault(facts.root(number), {})[claim.digest, normalise(claim.prompt)] = claim
    shared = (tuple(claims.values()) for claims in found.values())
    return tuple(SharedFact(claims) for claims in shared if len({claim.digest for claim in claims}) > 1)


def contradictions(facts: Iterable[SharedFact], among: Collection[str] | None = None) -> Iterator[tuple[Claim, Claim]]:
    """Every two claims that contradict each other, the one that is named first being below the other.

    Args:
        facts: those that are shared.
        among: digests of packages; only contradictions that one of them is part of. None: all.
    """
    for fact in facts:
        for pair in fact.opposed:
            if among is None or any(claim.digest in among for claim in pair):
                yield pair


def names_of(request: EditRequest) -> tuple[tuple[str, ...], ...]:
    """What a fact is known by, normalised: its prompt, and its subject and relation where it has both.

    >>> names_of(EditRequest(prompt="{} lies  in", subject="Rome", target_new="Gaul", relation="country"))
    (('prompt', 'rome lies in'), ('relation', 'rome', 'country'))
    """
    prompt = ("prompt", normalise(request.text))
    if request.subject is None or request.relation is None:
        return (prompt,)
    return prompt, ("relation", normalise(request.subject), normalise(request.relation))


class _Facts:
    """Facts by their names; one that turns out to be two that were known makes them one."""

    def __init__(self) -> None:
        self._of_name: dict[tuple[str, ...], int] = {}
        self._above: list[int] = []

    def add(self, names: Sequence[tuple[str, ...]]) -> int:
        """The number of the fact that goes by these names."""
        known = [self.root(self._of_name[name]) for name in names if name in self._of_name]
        if not known:
            known = [len(self._above)]
            self._above.append(known[0])
        for other in known:
            self._above[other] = min(known)
        self._of_name.update(dict.fromkeys(names, min(known)))
        return min(known)

    def root(self, number: int) -> int:
        """The number that a fact goes by now."""
        while self._above[number] != number:
            number = self._above[number]
        return number


def _pairs(claims: Sequence[Claim]) -> Iterator[tuple[Claim, Claim]]:
    for place, claim in enumerate(claims):
        yield from ((claim, other) for other in claims[place + 1 :] if claim.disagrees(other))
