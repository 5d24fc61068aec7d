"""The states that a bisection searches: from the base up through the stack, or from one generation to a later one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.errors import IntegrityError, NotFoundError, UsageError
from patchmgr.manager.bisect.contract import BisectOrder, LineState, Suspect, Turn
from patchmgr.manager.states import ModelState, stack_of
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import Manifest
from patchmgr_registry import ForgottenError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import GenerationRecord

_Line = tuple[LineState, ...]


def make_line(manager: Manager, state: ModelState, order: BisectOrder) -> tuple[LineState, ...]:
    """The states to search, two at least.

    Raises:
        UsageError: the good end does not come before the bad one, or is no number where generations are searched.
        NotFoundError: there is no such package or generation, it was never finished, or there is nothing to search.
    """
    line, good, bad = (
        _history(manager, state, order) if order.over == "generations" else _prefixes(manager, state, order)
    )
    if good >= bad:
        raise UsageError(
            f"{line[good].name} does not come before {line[bad].name}",
            hint="--good is the earlier one; to find what mended something, turn the test round, for instance by --not",
        )
    return line[good : bad + 1]


def turn_at(manager: Manager, line: Sequence[LineState], step: int) -> Turn:
    """What a step of the line changed."""
    before, after = line[step - 1], line[step]
    change = stacks.exchange(before.stack, after.stack)
    came = [Suspect(manifest, manager.registry.edits(manifest.digest)) for manifest in change.added]
    went = [Suspect(manifest, manager.registry.edits(manifest.digest), left=True) for manifest in change.removed]
    return Turn(before, after, (*came, *went), len(came) + len(went))


def states_within(turn: Turn) -> tuple[LineState, ...]:
    """A step that moved several packages as a line of steps that move one each: first they go, then they come.

    Those that others were computed on go last and come first. The states between were never a model's.
    """
    came = {one.manifest.digest for one in turn.suspects if not one.left}
    going = [one.manifest for one in turn.suspects if one.left]
    coming = parents_first(tuple(one.manifest for one in turn.suspects if not one.left))
    line, gone = [turn.before], set[str]()
    for manifest in reversed(parents_first(tuple(going))):
        gone.add(manifest.digest)
        line.append(_part(turn, turn.before, gone, f"less {manifest.reference}"))
    for manifest in coming:
        came.remove(manifest.digest)
        line.append(_part(turn, turn.after, came, f"to {manifest.reference}"))
    return (*line[:-1], turn.after)


def _part(turn: Turn, whole: LineState, without: set[str], what: str) -> LineState:
    """A state of the line less some packages."""
    kept = [(one, digest) for one, digest in zip(whole.stack, whole.digests, strict=True) if digest not in without]
    name = f"{turn.after.name}, {what}"
    return LineState(name, tuple(one for one, _ in kept), tuple(digest for _, digest in kept))


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


def _prefixes(manager: Manager, state: ModelState, order: BisectOrder) -> tuple[_Line, int, int]:
    """The beginnings of the stack, and the places of the two ends."""
    if not state.stack:
        raise NotFoundError(
            f"there is no package on {state.record.name}: it is the base", hint="search its history: --generations"
        )
    ordered = parents_first(state.stack)
    n, digests = len(ordered), stacks.digests(ordered)
    known = {0: stacks.state_root(state.fingerprint)} | ({n: state.root} if ordered == state.stack else {})
    names = ["the base", *(f"{i} of {n}, to {one.reference}" for i, one in enumerate(ordered, start=1))]
    line = tuple(LineState(name, ordered[:i], digests[:i], known.get(i)) for i, name in enumerate(names))
    good = 0 if order.good is None else _place(manager, ordered, digests, order.good)
    return line, good, n if order.bad is None else _place(manager, ordered, digests, order.bad)


def _place(manager: Manager, ordered: Stack, digests: Sequence[str], text: str) -> int:
    """How many packages there are up to and with the one that is named; a bare name means the version on the stack."""
    named = [i for i, one in enumerate(ordered, start=1) if one.name == text]
    if named:
        return named[0]
    digest = manager.registry.version(text).digest
    if digest not in digests:
        raise NotFoundError(f"{text} is not on the stack", hint="see `patchmgr status`; for generations: --generations")
    return digests.index(digest) + 1


def _history(manager: Manager, state: ModelState, order: BisectOrder) -> tuple[_Line, int, int]:
    """The generations that were finished, and the places of the two ends; none with a version that was forgotten."""
    model = state.record.name
    past = [one for one in manager.registry.generations(model) if _finished(one)]
    known = [one.number for one in past]
    good, bad = (None if end is None else _number(model, known, end) for end in (order.good, order.bad))
    stacks_of = [(one, _stack_of(manager, one, is_end=one.number in (good, bad))) for one in past]
    line = tuple(
        LineState(f"generation {one.number}", stack, one.packages, one.state_root, one)
        for one, stack in stacks_of
        if stack is not None
    )
    numbers = [one.number for one, stack in stacks_of if stack is not None]
    last = state.generation.number if bad is None else bad
    return line, 0 if good is None else numbers.index(good), numbers.index(last)


def _stack_of(manager: Manager, generation: GenerationRecord, *, is_end: bool) -> Stack | None:
    """The packages of a generation; None where one was forgotten, so that the state cannot be made again.

    Raises:
        NotFoundError: it is an end of the search, and one was forgotten.
    """
    try:
        return stack_of(manager, generation.packages)
    except ForgottenError as error:
        if not is_end:
            return None
        raise NotFoundError(
            f"generation {generation.number} cannot be made again: {error.message}",
            hint="name another by --good or --bad",
        ) from None


def _number(model: str, numbers: Sequence[int], text: str) -> int:
    """The number of a finished generation, written as ``7`` or as ``atlas#7``."""
    number = text.removeprefix(f"{model}#")
    if not number.isdecimal():
        raise UsageError(f"{text!r} is no number of a generation", hint=f"see `patchmgr log {model}`")
    if int(number) not in numbers:
        raise NotFoundError(f"{model} was never at generation {number}", hint=f"see `patchmgr log {model}`")
    return int(number)


def _finished(generation: GenerationRecord) -> bool:
    """Whether it was a state of the model once, its folder cleared away or not."""
    return generation.status in ("ready", "removed")
