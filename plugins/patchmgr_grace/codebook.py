"""GRACE's codebook: balls around keys, which grow, part and go by rules that look at distances and labels only.

Glossary (arXiv:2211.11031, section 3): a *key* is the input of the layer at the last token of a prompt; ε, here the
*radius*, is how far a prompt may lie from it; the *label* is what the edit says. A *cell* is a key with its radius, one
value and the entries that share it. The rules are those of algorithm 1:

* no key near, d > ε + ε_init: **add** a cell of radius ε_init;
* the nearest key has another label: **split**: add a cell, both radii become d/2, the old one's a little less;
* the nearest key has the same label: **expand**: the entry joins the cell, whose radius becomes d where it was smaller.

Three things differ from the published code. It compares the means of label tokens, which are equal for some different
answers; here texts are. Its d is exact, but a key that is read again, in another batch, differs in its last bits; here
an entry that joins a ball lies within by more than that. And members that a split leaves outside are not lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


class CellKeys:
    """The keys of cells as one matrix, of which only the rows of other cells than before are written."""

    def __init__(self) -> None:
        self._held: list[Tensor] = []
        self._matrix = torch.empty(0, 0, dtype=torch.float64)

    def of(self, cells: Sequence[Cell]) -> Float[Tensor, "cells width"]:
        """Float64; it holds until the next call."""
        if len(cells) > len(self._matrix):
            longer = torch.empty(2 * len(cells), len(cells[0].key), dtype=torch.float64)
            if self._held:
                longer[: len(self._held)] = self._matrix[: len(self._held)]
            self._matrix = longer
        for place, cell in enumerate(cells):
            if place == len(self._held):
                self._held.append(torch.empty(0))
            if self._held[place] is not cell.key:
                self._held[place] = cell.key
                self._matrix[place] = cell.key
        return self._matrix[: len(cells)]


@dataclass(frozen=True, eq=False)
class Space:
    """What the rules measure in."""

    init: float
    """ε_init."""
    rounding: float
    """Share of its norm by which a key may be off when it is read again, in another batch."""
    keys: dict[str, Tensor]
    """(width,) of every entry, by id."""
    cell_keys: CellKeys = field(default_factory=CellKeys)

    def margin(self, entry: str) -> float:
        """By how much the key of an entry may be off."""
        return self.rounding * float(self.keys[entry].double().norm())

    def apart(self, key: Float[Tensor, " width"], entries: Sequence[str]) -> list[float]:
        """Distances of a key to those of entries."""
        found: list[float] = distances(key[None], torch.stack([self.keys[name] for name in entries]))[0].tolist()
        return found


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


def remembered(cells: Sequence[Cell], entry: str, label: str, space: Space) -> list[Cell]:
    """The cells after one entry more; one that has to be trained has no value, and others are as they were.

    Of a cell that is cut by a split, members outside of what is left get cells of their own, with the value that they
    had, as wide as a new one and at most half the way to the new key; the published code forgets them.

    Args:
        cells: before.
        entry: its id.
        label: what it says.
        space: holds its key.
    """
    key = space.keys[entry]
    found, fresh = list(cells), Cell(key, space.init, label, (entry,))
    if not found:
        return [fresh]
    distance, number = (each.item() for each in distances(key[None], space.cell_keys.of(found))[0].min(dim=0))
    place, old = int(number), found[int(number)]
    match rule_for(distance, old.radius, space.init, same=old.label == label):
        case "add":
            found.append(fresh)
        case "split":
            left = replace(old, radius=max(distance / 2 - MARGIN, 0.0))
            away = _outside(left, space)
            within = tuple(name for name in old.members if name not in away)
            found[place : place + 1] = [replace(left, members=within)] if within else []
            found.append(replace(fresh, radius=distance / 2))
            found += [_alone(old, name, key, space.init, space) for name in away]
        case "expand":
            wide = max(old.radius, distance + space.margin(entry))
            found[place] = replace(old, radius=wide, members=(*old.members, entry), value=None)
    return found


def _outside(cell: Cell, space: Space) -> list[str]:
    """Members whose keys, read again, may lie outside of the ball; one alone is its centre."""
    if len(cell.members) == 1:
        return []
    found = zip(cell.members, space.apart(cell.key, cell.members), strict=True)
    return [name for name, distance in found if distance + space.margin(name) > cell.radius]


def _alone(cell: Cell, name: str, key: Float[Tensor, " width"], limit: float, space: Space) -> Cell:
    """A cell of its own for one member, at most half the way to a key that it must not cover."""
    (apart,) = space.apart(key, [name])
    return replace(cell, key=space.keys[name], radius=max(min(limit, apart / 2 - MARGIN), 0.0), members=(name,))


def forgotten(cells: Sequence[Cell], entry: str, space: Space) -> list[Cell]:
    """The cells without an entry, in no ball of which its own key lies any more, read again or not.

    Its own ball goes with it. A ball that it shared, or that covers its key, becomes one ball for each of the other
    members, around its own key and with the value that they shared, as wide as a new one and at most half the way to
    the forgotten key. What others split off from it does not grow back.

    Args:
        cells: before.
        entry: its id.
        space: holds its key.
    """
    key, margin = space.keys[entry], space.margin(entry)
    found: list[Cell] = []
    to_centres = distances(key[None], space.cell_keys.of(cells))[0].tolist()
    for cell, distance in zip(cells, to_centres, strict=True):
        others = tuple(name for name in cell.members if name != entry)
        if len(others) == len(cell.members) and distance > cell.radius + margin:
            found.append(cell)
        else:
            found += [_alone(cell, name, key, min(cell.radius, space.init), space) for name in others]
    return found


def distances(queries: Float[Tensor, "rows width"], keys: Float[Tensor, "cells width"]) -> Float[Tensor, "rows cells"]:
    """Euclidean distances, float64, from differences: a product of matrices would lose those that are small."""
    apart: Tensor = torch.cdist(queries.double(), keys.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return apart


def looked_up(
    queries: Float[Tensor, "rows width"], keys: Float[Tensor, "cells width"]
) -> tuple[Float[Tensor, " rows"], Tensor]:
    """Distance of each query to its nearest key, float64, and the number of that key; of equal ones the first.

    |q|² + |k|² − 2 q·k finds which keys may be the nearest, within its rounding, and differences tell among these.
    Float64 keys, where many are looked up, save making them so at every call.
    """
    queries, keys = queries.double(), keys.double()
    of_queries, of_keys = queries.norm(dim=1, keepdim=True).square(), keys.norm(dim=1).square()
    squared = of_queries + of_keys - 2 * queries @ keys.T
    rounding = 8 * keys.shape[1] * torch.finfo(torch.float64).eps * (of_queries[:, 0] + of_keys.max())
    maybe = squared <= (squared.min(dim=1).values + rounding)[:, None]
    found = torch.full_like(squared, torch.inf)
    rows, columns = maybe.nonzero(as_tuple=True)
    found[rows, columns] = (queries[rows] - keys[columns]).norm(dim=1)
    nearest = found.min(dim=1)
    return nearest.values, nearest.indices
