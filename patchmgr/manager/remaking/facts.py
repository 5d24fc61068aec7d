"""The edits of several packages together: what says the same is kept once, and what contradicts itself is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchmgr.errors import ConflictError
from patchmgr.manager.conflicts.refused import SHOWN, told
from patchmgr.manager.remaking.source import Source
from patchmgr.metrics.equations import normalise
from patchmgr.ops.conflict.facts import Claim, contradictions, shared_facts
from patchmgr.request import EditRequest


@dataclass(frozen=True)
class Together:
    """The edits of several packages."""

    requests: tuple[EditRequest, ...]
    repeated: tuple[EditRequest, ...] = ()
    """Those that a package before has as well, and that were left out."""
    overruled: tuple[EditRequest, ...] = ()
    """Those that gave way to an edit of the preferred package."""


def together(sources: Sequence[Source], *, prefer: str | None = None) -> Together:
    """The edits of some packages in the order of these, each once.

    Args:
        sources: the packages.
        prefer: digest of the one whose edits win where packages contradict each other.

    Raises:
        ConflictError: packages contradict each other, and none of them is the preferred one; names the facts.
    """
    opposed = list(contradictions(shared_facts([(source.manifest, source.requests) for source in sources])))
    overruled = {
        (claim.digest, claim.prompt)
        for pair in opposed
        for claim, other in (pair, pair[::-1])
        if other.digest == prefer
    }  # fmt: skip
    left = [pair for pair in opposed if not any((claim.digest, claim.prompt) in overruled for claim in pair)]
    if left:
        raise _refusal(left)
    kept, repeated, gone = [], [], []
    known: set[tuple[str, str]] = set()
    for source in sources:
        own = set()
        for request in source.requests:
            said = normalise(request.text), normalise(request.target_new)
            if (source.manifest.digest, request.text) in overruled:
                gone.append(request)
            elif said in known:
                repeated.append(request)
            else:
                kept.append(request)
                own.add(said)
        known |= own
    return Together(tuple(kept), tuple(repeated), tuple(gone))


def _refusal(found: Sequence[tuple[Claim, Claim]]) -> ConflictError:
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ConflictError(
        f"{len(found)} fact(s) with two answers: {'; '.join(told(pair) for pair in found[:SHOWN])}{more}",
        hint="say whose answers win with --prefer REF, or leave edits out with `patchmgr cherry-pick`",
    )
