"""Delta debugging: the smallest part of a set that still fails, by few tests.

``ddmin`` of Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002, fig. 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

_Item = TypeVar("_Item")


def ddmin(items: Sequence[_Item], fails: Callable[[tuple[_Item, ...]], bool]) -> tuple[_Item, ...]:
    """A part of the items that fails and of which none can be left out: it is 1-minimal, though not the only one.

    Args:
        items: fail together, and nothing fails; put suspects first, for parts are tried in their order.
        fails: tests a part; each is asked about once. Not called with all items or with none.

    >>> ddmin(range(8), lambda part: {1, 6} <= set(part))
    (1, 6)
    """
    known: dict[tuple[int, ...], bool] = {}

    def test(places: tuple[int, ...]) -> bool:
        if places not in known:
            known[places] = bool(places) and fails(tuple(items[place] for place in places))
        return known[places]

    left, n_parts = tuple(range(len(items))), 2
    while len(left) > 1:
        parts = _parts(left, n_parts)
        failing = next((part for part in parts if test(part)), None)
        if failing is not None:
            left, n_parts = failing, 2
            continue
        rests = (tuple(place for place in left if place not in set(part)) for part in parts)
        failing = next((rest for rest in rests if n_parts > 2 and test(rest)), None)  # of two, each is the other's rest
        if failing is not None:
            left, n_parts = failing, max(n_parts - 1, 2)
        elif n_parts == len(left):
            break
        else:
            n_parts = min(2 * n_parts, len(left))
    return tuple(items[place] for place in left)


def _parts(places: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    """The places cut into so many runs, as even as can be."""
    cuts = [len(places) * part // count for part in range(count + 1)]
    return [places[start:stop] for start, stop in pairwise(cuts)]
