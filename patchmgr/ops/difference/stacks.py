"""Which packages came, went, or changed their version between two stacks."""

from __future__ import annotations

from patchmgr.ops import stack as stacks
from patchmgr.ops.difference.contract import PlaceChange, StackDifference
from patchmgr.ops.stack import Stack


def stack_difference(a: Stack, b: Stack) -> StackDifference:
    """The packages of two stacks, another version of one as one change.

    Where a side holds several versions of a package that the other has not, the first goes with the first.
    """
    common = set(stacks.digests(a)) & set(stacks.digests(b))
    left, right = _by_name(a, common), _by_name(b, common)
    places = []
    for name in sorted(left.keys() | right.keys()):
        before, after = left.get(name, []), right.get(name, [])
        for place in range(max(len(before), len(after))):
            one, other = (found[place] if place < len(found) else None for found in (before, after))
            places.append(PlaceChange(name, one, other))
    order_a, order_b = (_memories(stack, common) for stack in (a, b))
    orders = (order_a, order_b) if order_a != order_b else ((), ())
    return StackDifference(tuple(places), *orders, n_same=len(common))


def _by_name(stack: Stack, common: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for manifest in stack:
        if manifest.digest not in common:
            found.setdefault(manifest.name, []).append(manifest.reference)
    return found


def _memories(stack: Stack, common: set[str]) -> tuple[str, ...]:
    return tuple(manifest.reference for manifest in stacks.memories(stack) if manifest.digest in common)
