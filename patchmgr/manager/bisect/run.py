"""The search itself: states of the line are judged until the step that turned good into bad stands alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from patchmgr.manager.bisect.contract import Bisection, BisectOrder, Command, Expectation, LineState, Look, Turn
from patchmgr.manager.bisect.line import make_line, states_within, turn_at
from patchmgr.manager.states import ModelState, read_state
from patchmgr.ops.bisect import Found, Verdict, most_evaluations
from patchmgr.ops.bisect import bisect as search

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def bisect(manager: Manager, model: str, order: BisectOrder) -> Bisection:
    """Find the package of a stack, or the change in a model's history, that turned good into bad.

    The line is searched as :func:`patchmgr.ops.bisect.bisect` says: with at most ⌈log₂ n⌉ + 1 states judged, skipped
    ones aside, and one or two more where the ends are checked first. A change that moved m packages at once is searched
    in the same way, with ⌈log₂ m⌉ more, for its ends are known. The model stays as it is.

    Raises:
        UsageError: the order says too little, or contradicts itself.
        NotFoundError: there is no such model, generation, file or program, or nothing to search.
        RequestError: the data cannot be used, or a prompt is too long for the model.
        IntegrityError: a byte of the base or of a package is not what its digest says, or a state is not as it was.
        MethodError: memory ran out.
        PatchmgrError: the program ended with a status above 127.
    """
    state = read_state(manager, model)
    line = make_line(manager, state, order)
    with _opened(manager, state, order, line) as look:
        found, looks = _searched(manager, line, look, order.check_ends)
        turns = [turn_at(manager, line, step) for step in found.steps]
        if found.step is not None and turns[0].n_moved > 1:
            turns[0], more = _narrowed(manager, turns[0], look)
            looks += more
    return Bisection(model, order, line, found, tuple(looks), tuple(turns))


def _searched(
    manager: Manager, line: Sequence[LineState], look: Callable[[LineState], Look], check_ends: bool
) -> tuple[Found, list[Look]]:
    looks: list[Look] = []

    def judge(number: int) -> Verdict:
        manager.progress(len(looks), most_evaluations(len(line) - 1), f"judging {line[number].name}")
        looks.append(look(line[number]))
        return looks[-1].verdict

    return search(len(line) - 1, judge, check_ends=check_ends), looks


def _narrowed(manager: Manager, turn: Turn, look: Callable[[LineState], Look]) -> tuple[Turn, list[Look]]:
    """The same turn with only those of its packages that did it, and the looks that this took; its ends are known."""
    line = states_within(turn)
    looks: list[Look] = []

    def judge(number: int) -> Verdict:
        if number in (0, len(line) - 1):
            return "good" if number == 0 else "bad"
        looks.append(look(line[number]))
        return looks[-1].verdict

    steps = search(len(line) - 1, judge, check_ends=True).steps
    suspects = tuple(suspect for step in steps for suspect in turn_at(manager, line, step).suspects)
    return replace(turn, suspects=suspects), looks


@contextlib.contextmanager
def _opened(
    manager: Manager, state: ModelState, order: BisectOrder, line: Sequence[LineState]
) -> Iterator[Callable[[LineState], Look]]:
    """What judges states whose packages stand in the line."""
    test = order.test
    if isinstance(test, Command):
        from patchmgr.manager.bisect.by_command import judge_by_command

        yield lambda probed: judge_by_command(manager, state, test, probed)
        return
    from patchmgr.manager.bisect.in_memory import expectation_judge, gate_judge, in_one_row, looked_at, places_in
    from patchmgr.manager.subsets import open_subsets

    judge = expectation_judge(test) if isinstance(test, Expectation) else gate_judge(manager, test, order)
    row = in_one_row(line)
    manifests = [manifest for _, manifest in row.values()]
    with open_subsets(manager, state.record.name, manifests, device=order.device, dtype=order.dtype) as subsets:
        yield lambda probed: looked_at(judge, subsets, probed, places_in(row, probed))
