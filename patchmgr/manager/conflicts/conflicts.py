"""``patchmgr conflicts``: what packages have to do with each other, as they are stored, or tried on the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchmgr.manager.conflicts.among import Among, named, parts_of
from patchmgr.ops.conflict.facts import SharedFact, contradictions, shared_facts
from patchmgr.ops.conflict.keys import THRESHOLD, CrossTalk, Part, cross_talk
from patchmgr.ops.conflict.subspaces import Overlap, overlaps
from patchmgr.ops.conflict.tensors import SharedTensor, shared_tensors
from patchmgr.package.encodings.contract import Additive

if TYPE_CHECKING:
    from patchmgr.manager.conflicts.run import Executed
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class ConflictsOrder:
    """What to look for beyond facts and tensors."""

    cross_talk: float = THRESHOLD
    """‖Δ₂k‖/‖Δ₁k‖ from which on a fact is named."""
    run: bool = False
    """Ask the model: which probes are worse on the whole stack than when their package was made, and who did it."""
    pairs: bool = False
    """The same for every two packages."""
    most: int = 20
    """Look for those who did it for so many facts at most."""
    device: str = "cpu"


@dataclass(frozen=True)
class Warned:
    """A fact of which another package, or all others together, speak too much."""

    fact: str
    """Its prompt, written out."""
    talk: CrossTalk

    def loud(self, threshold: float) -> tuple[tuple[str, float], ...]:
        """The packages that are over the threshold by themselves."""
        return tuple((name, ratio) for name, ratio in self.talk.others if ratio >= threshold)


@dataclass(frozen=True)
class Conflicts:
    """What was found among some packages."""

    model: str | None
    packages: tuple[str, ...]
    """References, in the order of the stack."""
    added: tuple[str, ...]
    """Those that were asked about; all of them, unless they would be added to a model."""
    facts: tuple[SharedFact, ...]
    """Claimed by several packages, whether or not they agree."""
    tensors: tuple[SharedTensor, ...]
    warned: tuple[Warned, ...]
    """The loudest first."""
    threshold: float
    n_keys: int
    """Facts that were looked at for this: those with stored keys."""
    overlaps: tuple[Overlap, ...]
    """The largest first."""
    executed: Executed | None = None

    @property
    def contradictions(self) -> tuple[SharedFact, ...]:
        """The facts with several answers."""
        return tuple(fact for fact in self.facts if fact.conflicting)

    @property
    def changed(self) -> tuple[SharedFact, ...]:
        """The facts that a package changed on a state that had the other answer."""
        return tuple(fact for fact in self.facts if fact.opposed and not fact.conflicting)

    @property
    def duplicates(self) -> tuple[SharedFact, ...]:
        """The facts on which all agree."""
        return tuple(fact for fact in self.facts if not fact.opposed)

    @property
    def n_real(self) -> int:
        """Facts with several answers, tensors that are replaced twice, and edits that were seen to be lost."""
        excluded = sum(tensor.excluded for tensor in self.tensors)
        lost = sum(worse.lost for worse in self.executed.worse) if self.executed else 0
        return len(self.contradictions) + excluded + lost


def conflicts(manager: Manager, words: Sequence[str], order: ConflictsOrder) -> Conflicts:
    """Look at a model's stack, at what adding packages to it would bring, or at packages among themselves.

    Args:
        manager: the registry; nothing in it is changed.
        words: a model; a model and packages; or two packages and more.
        order: what to look for.

    Raises:
        NotFoundError: no such model or package; or no model to run packages on.
        UsageError: neither a model nor two packages are named, or a model among others.
        BaseMismatchError: a package was made for another base than the rest.
        ConflictError: a package was computed on others that are not there.
        IntegrityError: a byte of a package is not what its digest says.
    """
    among = named(manager, words)
    parts = parts_of(manager, among)
    talks = tuple(cross_talk(parts, among.only))
    found = _found(manager, among, parts, talks, order)
    if not (order.run or order.pairs):
        return found
    from patchmgr.manager.conflicts.run import execute

    return replace(found, executed=execute(manager, among, order, talks))


def _found(
    manager: Manager, among: Among, parts: Sequence[Part], talks: Sequence[CrossTalk], order: ConflictsOrder
) -> Conflicts:
    """What can be read from the packages."""
    encodings = manager.plugins.encodings
    replacing = [name for name, encoding in encodings.items() if encoding.replacing]
    edits = [(manifest, among.edits[manifest.digest]) for manifest in among.stack]
    of_reference = {manifest.reference: requests for manifest, requests in edits}
    warned = [
        Warned(of_reference[talk.reference][talk.edit].text, talk)
        for talk in talks
        if max(talk.loudest, talk.together) >= order.cross_talk
    ]
    changes: dict[str, list[tuple[str, Additive]]] = {}
    for part in parts:
        for tensor, change in part.deltas.items():
            changes.setdefault(tensor, []).append((part.manifest.reference, change))
    only = None if among.only is None else _references(among, among.only)
    return Conflicts(
        model=among.model.name if among.model and among.named else None,
        packages=tuple(manifest.reference for manifest in among.stack),
        added=_references(among, among.asked),
        facts=tuple(fact for fact in shared_facts(edits) if _concerns(fact, among)),
        tensors=shared_tensors(among.stack, replacing, among.only),
        warned=tuple(sorted(warned, key=lambda one: -max(one.talk.loudest, one.talk.together))),
        threshold=order.cross_talk,
        n_keys=len(talks),
        overlaps=tuple(sorted(overlaps(changes, only), key=lambda one: -one.most)),
    )


def _concerns(fact: SharedFact, among: Among) -> bool:
    """Whether a package that was asked about is part of it; of several answers, whether it gives another one."""
    if fact.opposed:
        return any(contradictions([fact], among.only))
    return any(claim.digest in among.asked for claim in fact.claims)


def _references(among: Among, digests: Collection[str]) -> tuple[str, ...]:
    return tuple(manifest.reference for manifest in among.stack if manifest.digest in digests)
