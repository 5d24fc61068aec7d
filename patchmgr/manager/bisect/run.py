"""The search itself: states of the line are judged until the step that turned good into bad stands alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from patchmgr.manager.bisect.contract import Bisection, BisectOrder, Command, Expectation, LineState, Look
from patchmgr.manager.bisect.line import make_line, turn_at
from patchmgr.manager.states import ModelState, read_state
from patchmgr.ops.bisect import Verdict, most_evaluations
from patchmgr.ops.bisect import bisect as search

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def bisect(manager: Manager, model: str, order: BisectOrder) -> Bisection:
    """Find the package of a stack, or the change in a model's history, that turned good into bad.

    The line is searched as :func:`patchmgr.ops.bisect.bisect` says: with at most ⌈log₂ n⌉ + 1 states judged, skipped
    ones aside, and one or two more where the ends are checked first. The model stays as it is.

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
    looks: list[Look] = []
    with _opened(manager, state, order, line) as look:

        def judge(number: int) -> Verdict:
            manager.progress(len(looks), most_evaluations(len(line) - 1), f"judging {line[number].name}")
            looks.append(look(number))
            return looks[-1].verdict

        found = search(len(line) - 1, judge, check_ends=order.check_ends)
    turns = tuple(turn_at(manager, line, step) for step in found.steps)
    return Bisection(model, order, line, found, tuple(looks), turns)


@contextlib.contextmanager
def _opened(
    manager: Manager, state: ModelState, order: BisectOrder, line: Sequence[LineState]
) -> Iterator[Callable[[int], Look]]:
    """What judges the states of the line, by number."""
    test = order.test
    if isinstance(test, Command):
        from patchmgr.manager.bisect.by_command import judge_by_command

        yield lambda number: judge_by_command(manager, state, test, line[number])
        return
    from patchmgr.manager.bisect.in_memory import expectation_judge, gate_judge, in_one_row, looked_at
    from patchmgr.manager.subsets import open_subsets

    row, places = in_one_row(line)
    with open_subsets(manager, state.record.name, row, device=order.device, dtype=order.dtype) as subsets:
        if isinstance(test, Expectation):
            judge = expectation_judge(subsets, test)
        else:
            judge = gate_judge(manager, subsets, test, order)
        yield lambda number: looked_at(subsets, judge, line[number], places[number])
