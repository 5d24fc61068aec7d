"""GRACE as algorithm 1 of arXiv:2211.11031 says it: rules in float64 with plain Python, a value by whole passes."""

from __future__ import annotations

import math

import torch


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def replay(edits, init, margin=1e-5, rounding=0.0):
    """Keys, radii, labels and members after edits of the form (name, key, label), one after another.

    ``rounding`` is the share of its norm by which a key may be off; who joins a ball lies within by that much.
    """
    cells, keys = [], {name: key for name, key, _ in edits}
    for name, key, label in edits:
        new = {"key": key, "radius": init, "label": label, "members": [name]}
        if not cells:
            cells.append(new)
            continue
        apart = [distance(key, cell["key"]) for cell in cells]
        near = min(range(len(cells)), key=lambda number: apart[number])
        d, cell = apart[near], cells[near]
        if d > cell["radius"] + init:
            cells.append(new)
        elif cell["label"] == label:
            cell["radius"] = max(cell["radius"], d + rounding * distance(key, [0.0] * len(key)))
            cell["members"].append(name)
        else:
            cells.append({**new, "radius": d / 2})
            cut(cells, near, max(d / 2 - margin, 0), key, keys, init, margin, rounding)
    return cells


def cut(cells, near, radius, new, keys, init, margin, rounding):
    """Make a ball smaller; the published code forgets who then lies outside, here each goes on in a ball of its own."""
    cell, cell["radius"] = cells[near], radius
    if len(cell["members"]) == 1:
        return
    away = []
    for name in cell["members"]:
        if distance(keys[name], cell["key"]) + rounding * distance(keys[name], [0.0] * len(new)) > radius:
            away.append(name)
    cell["members"] = [name for name in cell["members"] if name not in away]
    for name in away:
        own = max(min(init, distance(keys[name], new) / 2 - margin), 0)
        cells.append({"key": keys[name], "radius": own, "label": cell["label"], "members": [name]})
    if not cell["members"]:
        del cells[near]


def claims(cells, query):
    """Number of the cell whose ball holds a query, or None: the layer answers by itself."""
    apart = [distance(query, cell["key"]) for cell in cells]
    near = min(range(len(cells)), key=lambda number: apart[number])
    return near if apart[near] <= cells[near]["radius"] else None


def trained_value(model, module, members, start, *, steps, rate, stop_loss):
    """A cell's value after torch.optim.Adam on its members, one whole pass for each; ``members``: (prompt, answer)."""
    value = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Adam([value], lr=rate)
    for _ in range(steps):
        losses = []
        for prompt, answer in members:
            last = len(prompt) - 1

            def exchange(_module, _inputs, output, end=last):
                return torch.cat([output[:, :end], value.reshape(1, 1, -1), output[:, end + 1 :]], dim=1)

            handle = module.register_forward_hook(exchange)
            logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            handle.remove()
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(answer)))
        loss = torch.stack(losses).mean()
        if loss.item() < stop_loss:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return value.detach()
