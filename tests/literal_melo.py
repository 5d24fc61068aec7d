"""MELO's clusters and dynamic LoRA as arXiv:2312.11795 and its code have them, replayed slowly in plain Python."""

from __future__ import annotations

from literal_grace import distance


def mean(points):
    return tuple(sum(column) / len(points) for column in zip(*points, strict=True))


def replay(edits, init, margin=1e-5):
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
            old["radius"] = max([init, *(distance(keys[member], old["key"]) + margin for member in old["members"])])
        else:
            before, old["radius"] = old["radius"], max(d / 2 - margin, 0)
            clusters.append({**new, "radius": d / 2})
            if len(old["members"]) == 1 or old["radius"] >= before:
                continue
            # the published code forgets these members; here each goes on by itself
            away = [m for m in old["members"] if distance(keys[m], old["key"]) > old["radius"]]
            old["members"] = [m for m in old["members"] if m not in away]
            if not old["members"]:
                clusters.remove(old)
            for m in away:
                radius = max(min(init, distance(keys[m], key) / 2 - margin), 0)
                clusters.append({"key": keys[m], "radius": radius, "label": old["label"], "members": [m]})
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
