"""What ``apply`` refuses and ``plan`` shows: packages that would give one fact another answer than the rest does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.ops import stack as stacks
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.states import ModelState
    from patchmgr.manager.wanted import Wanted
    from patchmgr.ops.conflict.facts import Claim
    from patchmgr.ops.stack import Stack, StackChange
    from patchmgr.request import EditRequest

SHOWN = 3
"""Contradictions that a message names."""


def noting_conflicts(manager: Manager, wanted: Wanted, references: Sequence[str], *, allowed: bool = True) -> Wanted:
    """The same change of a stack, with the contradictions that its new packages bring noted in it.

    Those between packages that stay are on record already, and those with versions that leave are gone.

    Args:
        manager: the registry.
        wanted: the change.
        references: what a user named; folders among them need not be in the registry.
        allowed: False: a contradiction is refused, by a ConflictError that names packages, fact and targets.
    """
    seen: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]] = {}

    def noting(state: ModelState) -> StackChange:
        change = wanted(state)
        key = stacks.digests(change.stack), stacks.digests(change.added)
        if key not in seen:  # asked again under the lock, of packages that cannot have changed
            found = brought(manager, change, references)
            if found and not allowed:
                raise _refused(state, found)
            seen[key] = tuple(told(pair) for pair in found)
        return replace(change, contradictions=seen[key])

    return noting


def brought(manager: Manager, change: StackChange, references: Sequence[str] = ()) -> list[tuple[Claim, Claim]]:
    """The contradictions that the packages which a change adds are part of, the lower package of the stack first.

    A package that was computed on the other one changed what that says, so there is no question whose answer is meant.
    """
    from patchmgr.ops.conflict.facts import contradictions, decided, shared_facts

    if not change.added or len(change.stack) == 1:
        return []
    edits = edits_of(manager, change.stack, references)
    pairs = [(manifest, edits[manifest.digest]) for manifest in change.stack]
    found = contradictions(shared_facts(pairs), stacks.digests(change.added))
    return [pair for pair in found if not decided(pair)]


def edits_of(manager: Manager, stack: Stack, references: Sequence[str] = ()) -> Mapping[str, tuple[EditRequest, ...]]:
    """The edits of packages by digest, from the registry or from the folders among what a user named."""
    folders = [EditPackage.read(folder_of(text)) for text in references if is_folder(text)]
    known = {package.manifest.digest: package.requests for package in folders}
    return {
        digest: known[digest] if digest in known else manager.registry.edits(digest) for digest in stacks.digests(stack)
    }


def told(pair: tuple[Claim, Claim]) -> str:
    """A contradiction in one line."""
    lower, upper = pair
    return (
        f"{lower.reference} says {lower.prompt!r} → {lower.target!r}, {upper.reference} says {_otherwise(lower, upper)}"
    )


def _otherwise(lower: Claim, upper: Claim) -> str:
    return repr(upper.target) if upper.prompt == lower.prompt else f"{upper.prompt!r} → {upper.target!r}"


def _refused(state: ModelState, found: Sequence[tuple[Claim, Claim]]) -> ConflictError:
    lower, upper = found[0]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    there = lower.digest in stacks.digests(state.stack)
    keep = f"`patchmgr revert {state.record.name} {lower.reference}`" if there else f"leave {lower.reference} out"
    return ConflictError(
        f"one fact, two answers: {'; '.join(told(pair) for pair in found[:SHOWN])}{more}",
        hint=f"{keep} or leave {upper.reference} out; --allow-conflicts puts it on all the same, as meant",
    )
