"""GRACE's codebook as algorithm 1 of arXiv:2211.11031 says it, replayed slowly in float64 with plain Python."""

from __future__ import annotations

import math


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def replay(edits, init, margin=1e-5):
    """Keys, radii, labels and members after edits of the form (name, key, label), one after another."""
    cells = []
    for name, key, label in edits:
        if not cells:
            cells.append({"key": key, "radius": init, "label": label, "members": [name]})
            continue
        apart = [distance(key, cell["key"]) for cell in cells]
        near = min(range(len(cells)), key=lambda number: apart[number])
        d, cell = apart[near], cells[near]
        if d > cell["radius"] + init:
            cells.append({"key": key, "radius": init, "label": label, "members": [name]})
        elif cell["label"] == label:
            cell["radius"] = max(cell["radius"], d)
            cell["members"].append(name)
        else:
            cell["radius"] = max(d / 2 - margin, 0)
            cells.append({"key": key, "radius": d / 2, "label": label, "members": [name]})
    return cells


def claims(cells, query):
    """Number of the cell whose ball holds a query, or None: the layer answers by itself."""
    apart = [distance(query, cell["key"]) for cell in cells]
    near = min(range(len(cells)), key=lambda number: apart[number])
    return near if apart[near] <= cells[near]["radius"] else None
