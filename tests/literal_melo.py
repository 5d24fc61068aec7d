"""MELO's clusters and dynamic LoRA as arXiv:2312.11795 and its code have them, replayed slowly in plain Python."""

from __future__ import annotations

import math

from literal_grace import cut, distance


def mean(points):
    return tuple(sum(column) / len(points) for column in zip(*points, strict=True))


def replay(edits, init, margin=1e-5, rounding=0.0):
    """Centres, radii, labels and members after edits of the form (name, key, label), one after another."""
    clusters, keys = [], {name: key for name, key, _ in edits}
    for name, key, label in edits:
        new = {"key": key, "radius": init, "label": label, "members": [name]}
        if not clusters:
            clusters.append(new)
            continue
        apart = [distance(key, cluster["key"]) for cluster in clusters]
        near = min(range(len(clusters)), key=lambda number: apart[number])
        d, old = apart[near], clusters[near]
        if d > old["radius"] + init:
            clusters.append(new)
        elif old["label"] == label:
            old["members"].append(name)
            old["key"] = mean([keys[member] for member in old["members"]])
            reaches = [distance(keys[m], old["key"]) + rounding * math.hypot(*keys[m]) for m in old["members"]]
            old["radius"] = max(init, *reaches)
        else:
            clusters.append({**new, "radius": d / 2})
            cut(clusters, near, max(d / 2 - margin, 0), key, keys, init, margin, rounding)
    return clusters


def dynamic_lora(W, x, A, B, index, rank, scale):
    """W x + s · Σ over ranks r of block ``index`` of B[:, r] (A[r] · x); ``index`` None: W x. Lists of lists."""
    out = [sum(w * v for w, v in zip(row, x, strict=True)) for row in W]
    if index is None:
        return out
    for r in range(index * rank, (index + 1) * rank):
        inner = sum(a * v for a, v in zip(A[r], x, strict=True))
        out = [value + scale * row[r] * inner for value, row in zip(out, B, strict=True)]
    return out
