"""Bisection: which step of a line of states turned good into bad, in the fewest looks. Pure, no bytes.

A line of n steps has the states 0 to n; step i leads from state i − 1 to state i. State 0 is what ought to be good,
state n what ought to be bad. Where good and bad alternate along the line, *a* step that turned good into bad is found,
as ``git bisect`` does, and not the first one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "bad", "skip"]
"""``skip``: nothing can be said of this state."""

Judge = Callable[[int], Verdict]
"""Says what a state is; it is asked once about a state."""


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    n_steps: int
    good: int | None
    """The last state below the turn that was judged good; None: none was."""
    bad: int | None
    """The first state above it that was judged bad; None: none was."""
    judged: tuple[tuple[int, Verdict], ...]
    """Every state that was judged, in the order of the judging."""

    @property
    def steps(self) -> range:
        """The steps of which one turned it; none where both ends agree, several where states between were skipped.

        >>> Found(8, 3, 4, ()).steps, Found(8, 3, 6, ()).steps, Found(8, 8, None, ()).steps, Found(8, None, 0, ()).steps
        (range(4, 5), range(4, 7), range(9, 9), range(1, 1))
        """
        return range(1 if self.good is None else self.good + 1, (self.n_steps if self.bad is None else self.bad) + 1)

    @property
    def step(self) -> int | None:
        """The step that turned it, with a good state judged right before it and a bad one right behind; else None."""
        certain = self.good is not None and self.bad is not None and len(self.steps) == 1
        return self.steps[0] if certain else None

    @property
    def agreed(self) -> Verdict | None:
        """What both ends are, where there is no turn between them: nothing to find. None: there may be one."""
        if self.steps:
            return None
        return "good" if self.bad is None else "bad"

    @property
    def n_evaluations(self) -> int:
        """How many states were judged, those aside that had to be skipped."""
        return sum(verdict != "skip" for _, verdict in self.judged)


def most_evaluations(n_steps: int) -> int:
    """How many states of a line are judged at most, skipped ones aside: ⌈log₂(n + 2)⌉.

    Never more than ⌈log₂ n⌉ + 1 from two steps on; one step takes both of its ends.

    >>> [most_evaluations(n) for n in (1, 2, 3, 4, 8, 40, 64)]
    [2, 2, 3, 3, 4, 6, 7]
    """
    return (n_steps + 1).bit_length()


def bisect(n_steps: int, judge: Judge, *, check_ends: bool = False) -> Found:
    """Find a step that turned good into bad.

    Nothing is taken on trust: the ends are states like any others, judged when the search comes down to them. So the
    answer always rests on two neighbours that were judged, within :func:`most_evaluations`. The search looks at the
    middle of what is still unknown, so states that must be skipped cost no other evaluations than their own.

    Args:
        n_steps: of the line, 0 or more.
        judge: asked about states 0 to ``n_steps``.
        check_ends: ask about both ends first, which takes one or two evaluations more, and stop where they do not
            differ as they should. It matters where good and bad alternate, and tells a wrong judge at once.
    """
    good, bad = -1, n_steps + 1
    unknown = list(range(n_steps + 1))
    first = [n_steps, 0] if check_ends else []
    judged: list[tuple[int, Verdict]] = []
    while unknown:
        ends = [state for state in first if state in unknown]
        state = ends[0] if ends else unknown[len(unknown) // 2]
        verdict = judge(state)
        judged.append((state, verdict))
        if verdict == "good":
            good = state
        elif verdict == "bad":
            bad = state
        unknown = [other for other in unknown if good < other < bad and other != state]
    return Found(n_steps, None if good < 0 else good, None if bad > n_steps else bad, tuple(judged))
