"""Key cross-talk: what other packages make of the keys that a package wrote its facts at, with no model run.

A method of the locate-and-edit family stores the key k of each fact and layer (``keys/<block>``). Its own change Δ₁
moves what comes out at k by Δ₁k: that is the edit. What another package's Δ₂ makes of the same key is added to it, so
‖Δ₂k‖/‖Δ₁k‖ says how much of the answer the other one speaks, whatever it was made for and by whatever method.

Glossary: k (d_in,) key of one fact in one layer; Δ (d_out, d_in) change of that layer's weight; over the layers at
which a fact was written, norms are put together as √Σ‖Δk‖².
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from patchmgr.ops.deltas import product
from patchmgr.package.encodings.contract import Additive, Array
from patchmgr.package.manifest import Manifest, TouchedTensor

THRESHOLD = 0.5
"""‖Δ₂k‖/‖Δ₁k‖ from which on a fact is named: see docs/versioning.md for what was seen on real packages."""
PREFIX = "keys/"


@dataclass(frozen=True)
class Part:
    """What is known of one package: its changes by tensor, and the keys that it stored."""

    manifest: Manifest
    deltas: Mapping[str, Additive]
    state: Mapping[str, Array]


@dataclass(frozen=True)
class Site:
    """A tensor that a package touched, and the keys of its facts there."""

    tensor: str
    keys: Array
    """(d_in, edits)"""
    transposed: bool
    """The tensor is stored input by output, as GPT-2's Conv1D."""


@dataclass(frozen=True)
class CrossTalk:
    """How much other packages speak where one fact was written."""

    reference: str
    """The package whose fact it is."""
    edit: int
    """Which of its edits, from 0."""
    others: tuple[tuple[str, float], ...]
    """Reference and ‖Δ₂k‖/‖Δ₁k‖ of each other package that touches the tensors of this one, the loudest first."""
    together: float
    """‖ΣΔk‖/‖Δ₁k‖ over all of them."""

    @property
    def loudest(self) -> float:
        """The largest single ratio."""
        return self.others[0][1] if self.others else 0.0


def cross_talk(parts: Sequence[Part], among: Collection[str] | None = None) -> Iterator[CrossTalk]:
    """For every fact with stored keys: what each other package does there.

    Packages that the fact's own was computed on are left out: they were there when its change was worked out.

    Args:
        parts: in their order.
        among: digests of packages; only they are listened to where another package's fact was written. None: all.
    """
    for part in parts:
        sites = tuple(sites_of(part))
        others = [other for other in parts if other is not part and _comes_after(part, other, sites)]
        if among is not None and part.manifest.digest not in among:
            others = [other for other in others if other.manifest.digest in among]
        if sites and others:
            yield from _of_package(part, sites, others)


def sites_of(part: Part) -> Iterator[Site]:
    """Where a package stored keys; none where it cannot be told for sure on which axis of the tensor they lie."""
    for touched in part.manifest.tensors:
        keys = part.state.get(f"{PREFIX}{block_of(touched)}")
        if keys is None or keys.ndim != 2 or touched.name not in part.deltas or len(touched.shape) != 2:
            continue
        fits = [len(keys) == touched.shape[1], len(keys) == touched.shape[0]]
        if keys.shape[1] == part.manifest.n_edits and sum(fits) == 1:  # a square weight does not tell
            yield Site(touched.name, keys, transposed=fits[1])


def block_of(touched: TouchedTensor) -> int | None:
    """The number of the block that a weight lies in: the first number in its path.

    >>> from types import SimpleNamespace
    >>> block_of(SimpleNamespace(module="model.layers.5.mlp.down_proj.weight"))
    5
    """
    return next((int(word) for word in touched.module.split(".") if word.isdecimal()), None)


def _comes_after(part: Part, other: Part, sites: Sequence[Site]) -> bool:
    below = other.manifest.digest in part.manifest.parent.packages
    return not below and any(site.tensor in other.deltas for site in sites)


def _of_package(part: Part, sites: Sequence[Site], others: Sequence[Part]) -> Iterator[CrossTalk]:
    own = _lengths([product(part.deltas[site.tensor], site.keys, transposed=site.transposed) for site in sites])
    total: dict[str, Array] = {}
    ratios: list[tuple[str, Array]] = []
    for other in others:
        moved = {
            site.tensor: product(other.deltas[site.tensor], site.keys, transposed=site.transposed)
            for site in sites
            if site.tensor in other.deltas
        }
        for tensor, change in moved.items():
            total[tensor] = total[tensor] + change if tensor in total else change
        ratios.append((other.manifest.reference, _ratio(_lengths(list(moved.values())), own)))
    together = _ratio(_lengths(list(total.values())), own)
    for edit in range(part.manifest.n_edits):
        ranked = sorted(((name, float(ratio[edit])) for name, ratio in ratios), key=lambda pair: -pair[1])
        yield CrossTalk(part.manifest.reference, edit, tuple(ranked), float(together[edit]))


def _lengths(changes: Sequence[Array]) -> Array:
    """√Σ‖Δk‖² of each key over some tensors. changes: (d_out, edits) each. Returns (edits,)."""
    return np.asarray(np.sqrt(sum(np.square(change).sum(axis=0) for change in changes)))


def _ratio(other: Array, own: Array) -> Array:
    """Where a package does nothing at its own key, anything is infinitely more, and nothing is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(other == 0, 0.0, np.nan_to_num(other / own, nan=np.inf, posinf=np.inf))
