"""Drawing some of many cases, so that every relation keeps its share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from patchmgr.canonical import sha256_json
from patchmgr.readers.contract import Case
from patchmgr.request import EditRequest


def sample(cases: Sequence[Case], limit: int, seed: int) -> tuple[Case, ...]:
    """``limit`` of the cases, or all when there are no more, in the order they were given.

    Each relation gets its share of ``limit``, rounded by largest remainder. Within a relation those are drawn whose
    digest together with the seed is smallest, so the draw does not depend on the order of the cases.

    Args:
        cases: cases that are not empty; the relation of the first request counts.
        limit: 0 or more.
        seed: another seed, another draw.
    """
    strata: dict[str, list[int]] = defaultdict(list)
    for i, case in enumerate(cases):
        strata[case[0].relation or ""].append(i)
    seats = shares({name: len(members) for name, members in strata.items()}, limit, seed)
    chosen = [
        i
        for name, members in strata.items()
        for i in sorted(members, key=lambda i: (_rank(cases[i], seed), i))[: seats[name]]
    ]
    return tuple(cases[i] for i in sorted(chosen))


def draw(requests: Sequence[EditRequest], limit: int | None, seed: int) -> tuple[EditRequest, ...]:
    """``limit`` of some requests, drawn as :func:`sample` draws cases of one; None: all."""
    if limit is None:
        return tuple(requests)
    return tuple(request for case in sample([(request,) for request in requests], limit, seed) for request in case)


def shares(sizes: Mapping[str, int], limit: int, seed: int = 0) -> dict[str, int]:
    """How many each of some groups gets of ``limit``, in proportion to its size.

    By largest remainder: each gets its quota rounded down, and the seats that are left go to the largest remainders, of
    equal ones to those that the seed favours.

    >>> shares({"capital": 60, "language": 30, "river": 10}, 10)
    {'capital': 6, 'language': 3, 'river': 1}
    """
    total = sum(sizes.values())
    if limit >= total:
        return dict(sizes)
    seats = {name: size * limit // total for name, size in sizes.items()}
    order = sorted(sizes, key=lambda name: (-(sizes[name] * limit % total), sha256_json([seed, name])))
    for name in order[: limit - sum(seats.values())]:
        seats[name] += 1
    return seats


def _rank(case: Case, seed: int) -> str:
    return sha256_json([seed, [request.to_json() for request in case]])
