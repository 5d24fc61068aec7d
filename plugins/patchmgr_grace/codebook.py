"""GRACE's codebook: balls around keys, which grow, part and go by rules that look at distances and labels only.

Glossary (arXiv:2211.11031, section 3): a *key* is the input of the layer at the last token of a prompt; ε, here the
*radius*, is how far a prompt may lie from it; the *label* is what the edit says. A *cell* is a key with its radius, one
value and the entries that share it. The rules are those of algorithm 1:

* no key near, d > ε + ε_init: **add** a cell of radius ε_init;
* the nearest key has another label: **split**: add a cell, both radii become d/2, the old one's a little less;
* the nearest key has the same label: **expand**: the entry joins the cell, whose radius becomes d where it was smaller.

The published code compares the means of label tokens, which are equal for some different answers; here texts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

MARGIN = 1e-5
"""By how much less than half the distance an older ball keeps, so that a key between two belongs to one."""

Rule = Literal["add", "split", "expand"]


@dataclass(frozen=True, eq=False)
class Cell:
    """A ball and who shares it."""

    key: Float[Tensor, " width"]
    radius: float
    label: str
    members: tuple[str, ...]
    """Ids of entries."""
    value: Float[Tensor, " value"] | None = None
    """What the layer gives instead, for MELO a block of numbers; None: it is still to be trained."""


def rule_for(distance: float, radius: float, init: float, *, same: bool) -> Rule:
    """Which rule holds for a new key.

    Args:
        distance: to the nearest key.
        radius: of that key's ball.
        init: ε_init, of a new ball.
        same: whether its label is the new one.

    >>> [rule_for(d, 1.0, 1.0, same=s) for d, s in ((2.1, True), (1.9, True), (1.9, False))]
    ['add', 'expand', 'split']
    """
    if distance > radius + init:
        return "add"
    return "expand" if same else "split"


def distances(key: Float[Tensor, " width"], cells: Sequence[Cell]) -> Float[Tensor, " cells"]:
    """Euclidean distances of a key to those of cells, float64."""
    keys = torch.stack([cell.key for cell in cells]).double()
    apart: Tensor = (keys - key.double()).norm(dim=1)
    return apart


def remembered(cells: Sequence[Cell], key: Float[Tensor, " width"], label: str, entry: str, init: float) -> list[Cell]:
    """The cells after one entry more; one that has to be trained has no value, and others are as they were."""
    found = list(cells)
    fresh = Cell(key, init, label, (entry,))
    if not found:
        return [fresh]
    distance, nearest = (each.item() for each in distances(key, found).min(dim=0))
    old = found[int(nearest)]
    match rule_for(distance, old.radius, init, same=old.label == label):
        case "add":
            found.append(fresh)
        case "split":
            found[int(nearest)] = replace(old, radius=max(distance / 2 - MARGIN, 0.0))
            found.append(replace(fresh, radius=distance / 2))
        case "expand":
            members = (*old.members, entry)
            found[int(nearest)] = replace(old, radius=max(old.radius, distance), members=members, value=None)
    return found


def forgotten(cells: Sequence[Cell], entry: str, keys: dict[str, Float[Tensor, " width"]], init: float) -> list[Cell]:
    """The cells without an entry, in no ball of which its own key lies any more.

    Its own ball goes with it. A ball that it shared, or that covers its key, becomes one ball for each of the other
    members, around its own key and with the value that they shared, as wide as a new one and at most half the way to
    the forgotten key. What others split off from it does not grow back.

    Args:
        cells: before.
        entry: its id.
        keys: of all entries, by id.
        init: ε_init.
    """
    found: list[Cell] = []
    for cell in cells:
        others = tuple(name for name in cell.members if name != entry)
        covers = float((cell.key.double() - keys[entry].double()).norm()) <= cell.radius
        if len(others) == len(cell.members) and not covers:
            found.append(cell)
            continue
        for name in others:
            half = float((keys[name].double() - keys[entry].double()).norm()) / 2
            radius = max(min(cell.radius, init, half - MARGIN), 0.0)
            found.append(replace(cell, key=keys[name], radius=radius, members=(name,)))
    return found


def looked_up(
    queries: Float[Tensor, "rows width"], keys: Float[Tensor, "cells width"]
) -> tuple[Float[Tensor, " rows"], Tensor]:
    """Distance of each query to its nearest key, float64, and the number of that key; of equal ones the first."""
    found = [(keys.double() - query.double()).norm(dim=1).min(dim=0) for query in queries]
    return torch.stack([each.values for each in found]), torch.stack([each.indices for each in found])
