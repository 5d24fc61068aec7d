"""Which packages are tried first: those whose keys are near a prompt's, and the memory that claims it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.manager.blame.contract import Nearness
from patchmgr.manager.blame.keys import blocks_of, kept_keys, nearest, prompt_keys
from patchmgr.package.memory.operations import entry_id
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.subsets import Subsets
    from patchmgr.methods.runtime import Route
    from patchmgr.package.reader import EditPackage

NEAR = 0.7
"""Cosine of keys from which on a package is tried first. On the demo base prompts about an edited subject lie above .9
and most others below .65; where it misleads, the other packages are tried too."""

Edits = tuple[EditRequest, ...]
"""Those of one package, in their order; none where its author withheld them."""


def nearness(
    subsets: Subsets, prompt: str, packages: Sequence[EditPackage], edits: Sequence[Edits]
) -> list[Nearness | None]:
    """How near each package is: by one forward pass of the base, and by where the memories send the prompt."""
    with subsets.state(subsets.everything).opened() as loaded:
        route = None if loaded.router is None else loaded.router.route([prompt])[0]
    kept = [kept_keys(package.state, package.manifest.n_edits) for package in packages]
    with subsets.state(frozenset()).opened() as loaded:
        keys = prompt_keys(loaded, prompt if route is None else route.prompt, blocks_of(kept))
    found: list[Nearness | None] = []
    for package, requests, own in zip(packages, edits, kept, strict=True):
        best = nearest(keys, own)
        if route is not None and route.package == package.manifest.reference:
            found.append(_routed(requests, route))
        elif best is None:
            found.append(None)
        else:
            found.append(Nearness(best[0], (best[1],)))
    return found


def is_candidate(package: EditPackage, near: Nearness | None) -> bool:
    """Whether a package is tried before all others: it is near, or a weight package whose nearness nobody knows."""
    if package.manifest.kind == "memory":
        return near is not None
    return near is None or near.score >= NEAR


def _routed(requests: Edits, route: Route) -> Nearness:
    places = {entry_id(edit): place for place, edit in enumerate(requests)}
    return Nearness(route.score, tuple(places[name] for name in route.entries if name in places), route.entries)
