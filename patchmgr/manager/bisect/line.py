"""The states that a bisection searches: from the base up through the stack, or from one generation to a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.manager.bisect.contract import BisectOrder, LineState, Suspect, Turn
from patchmgr.manager.states import ModelState, stack_of
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import Manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import GenerationRecord


def make_line(manager: Manager, state: ModelState, order: BisectOrder) -> tuple[LineState, ...]:
    """The states to search, two at least.

    Raises:
        UsageError: generations are named and not searched, or the good one does not come before the bad one.
        NotFoundError: there is no such generation, it was never finished, or there is nothing to search.
    """
    if order.over == "generations":
        return _history(manager, state, order)
    if order.good is not None or order.bad is not None:
        raise UsageError("--good and --bad are numbers of generations", hint="add --generations")
    return _prefixes(state)


def turn_at(manager: Manager, line: tuple[LineState, ...], step: int) -> Turn:
    """What a step of the line changed."""
    before, after = line[step - 1], line[step]
    change = stacks.exchange(before.stack, after.stack)
    came = [Suspect(manifest, manager.registry.edits(manifest.digest)) for manifest in change.added]
    went = [Suspect(manifest, manager.registry.edits(manifest.digest), left=True) for manifest in change.removed]
    return Turn(before, after, (*came, *went))


def check_root(state: LineState, root: str) -> None:
    """Make sure that a state was made as it was made before.

    Raises:
        IntegrityError: it was not; names both roots.
    """
    if state.root not in (None, root):
        raise IntegrityError(
            f"{state.name} has the state root {root[:12]}…, and should have {str(state.root)[:12]}…",
            hint="a package or this machine's arithmetic is broken; run `patchmgr fsck`",
        )


def parents_first(stack: Stack) -> Stack:
    """The packages of a stack, each behind those that it was computed on, and otherwise in their order.

    So every package is attested in every beginning of it. The order of memories, which decides what they answer, is
    kept: a memory is computed on nothing.
    """
    rest = dict(zip(stacks.digests(stack), stack, strict=True))
    placed: dict[str, Manifest] = {}
    while rest:
        digest = next(digest for digest, one in rest.items() if not set(one.parent.packages) & rest.keys())
        placed[digest] = rest.pop(digest)
    return tuple(placed.values())


def _prefixes(state: ModelState) -> tuple[LineState, ...]:
    if not state.stack:
        raise NotFoundError(
            f"there is no package on {state.record.name}: it is the base", hint="search its history: --generations"
        )
    ordered = parents_first(state.stack)
    n, digests = len(ordered), stacks.digests(ordered)
    known = {0: stacks.state_root(state.fingerprint)} | ({n: state.root} if ordered == state.stack else {})
    names = ["the base", *(f"{i} of {n} packages" for i in range(1, n + 1))]
    return tuple(LineState(name, ordered[:i], digests[:i], known.get(i)) for i, name in enumerate(names))


def _history(manager: Manager, state: ModelState, order: BisectOrder) -> tuple[LineState, ...]:
    model = state.record.name
    numbers = (order.good or 0, state.generation.number if order.bad is None else order.bad)
    good, bad = (manager.registry.generation(model, number) for number in numbers)
    for generation in (good, bad):
        if not _finished(generation):
            raise NotFoundError(
                f"generation {generation.number} of {model} was never finished", hint=f"see `patchmgr log {model}`"
            )
    if good.number >= bad.number:
        raise UsageError(
            f"generation {good.number} does not come before {bad.number}",
            hint="--good is the earlier one; to find what mended something, turn the test round, for instance by --not",
        )
    return tuple(
        LineState(f"generation {one.number}", stack_of(manager, one.packages), one.packages, one.state_root, one)
        for one in manager.registry.generations(model)
        if good.number <= one.number <= bad.number and _finished(one)
    )


def _finished(generation: GenerationRecord) -> bool:
    """Whether it was a state of the model once, its folder cleared away or not."""
    return generation.status in ("ready", "removed")
