"""What ``patchmgr conflicts`` found, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from patchmgr.cli import render

if TYPE_CHECKING:
    from patchmgr.manager.conflicts.conflicts import Conflicts, Warned
    from patchmgr.manager.conflicts.run import Executed, Worse
    from patchmgr.ops.conflict.facts import SharedFact

ROWS = 12
"""Of a table; what is left out is counted, and stands in the JSON."""


def as_text(found: Conflicts) -> str:
    """A paragraph for every kind of finding, and what it comes to."""
    what = found.model or "these packages"
    head = f"{what}: {len(found.packages)} package(s)"
    if found.added != found.packages:
        head += f", looking at {', '.join(found.added) or 'none that is not there already'}"
    return "\n\n".join([head, *_paragraphs(found), _sum(found)])


def _paragraphs(found: Conflicts) -> Iterator[str]:
    for fact in found.contradictions:
        yield f"one fact, several answers: {fact.prompt}\n{_claims(fact)}"
    for fact in found.changed[:ROWS]:
        yield f"changed again, on a state that had the first answer: {fact.prompt}\n{_claims(fact)}"
    for fact in found.duplicates[:ROWS]:
        yield f"claimed by several, who agree: {fact.prompt}\n{_claims(fact)}"
    if len(found.duplicates) > ROWS:
        yield f"and {len(found.duplicates) - ROWS} more facts on which packages agree"
    rows = [[t.name, len(t.packages), "one only" if t.excluded else "summed", _some(t.packages)] for t in found.tensors]
    if rows:
        yield _table(rows, ["TENSOR", "TOUCHED BY", "TOGETHER", "PACKAGES"])
    if found.warned:
        talks = [_talk(one, found.threshold) for one in found.warned]
        loud = Counter(name for one in found.warned for name, _ in one.loud(found.threshold))
        lines = [f"{name} disturbs {count} fact(s)" for name, count in loud.most_common(3)]
        yield "\n".join([_table(talks, ["FACT", "OF", "DISTURBED BY", "ALL OTHERS"]), *lines])
    near = [one for one in found.overlaps if one.most >= 0.01]
    if near:
        rows = [
            [one.first, one.second, one.tensor, f"{one.rows:.2f}", f"{one.columns:.2f}", f"{one.most:.2f}"]
            for one in near
        ]
        yield _table(rows, ["SPACES OF", "AND", "TENSOR", "ROWS", "COLUMNS", "LESS OF BOTH"])
    if found.executed is not None:
        yield from _executed(found.executed)


def _executed(done: Executed) -> Iterator[str]:
    if done.worse:
        table = _table([_worse(one) for one in done.worse], ["WORSE NOW", "OF", "SCORE", "BECAUSE OF"])
        blamed = Counter(name for one in done.worse for name in one.culprits or ())
        lines = [f"{name} has a part in {count} of these" for name, count in blamed.most_common(3)]
        yield "\n".join([table, *lines])
    rows = [[pair.first, pair.second, len(pair.worse), pair.worse[0].prompt] for pair in done.pairs]
    if rows:
        yield _table(rows, ["PAIR", "", "WORSE", "SUCH AS"])
    yield f"asked: {done.n_probes} probe(s), {done.n_evaluations} question round(s) with some of the packages"


def _talk(one: Warned, threshold: float) -> list[str]:
    loud = one.loud(threshold)
    named = ", ".join(f"{name} {ratio:.2f}" for name, ratio in loud[:2]) or "none alone"
    return [one.fact, one.talk.reference, f"{named}{' …' if len(loud) > 2 else ''}", f"{one.talk.together:.2f}"]


def _worse(one: Worse) -> list[str]:
    metric = "exact_match" if "exact_match" in one.scores else next(iter(one.scores))
    made, now = one.scores[metric]
    asked = f"{one.prompt} {one.target}" if one.is_edit else f"({metric}) {one.prompt}"
    culprits = "not looked for" if one.culprits is None else " + ".join(one.culprits)
    return [asked, one.reference, f"{made:.2f} → {now:.2f}", culprits]


def _sum(found: Conflicts) -> str:
    facts = f"{found.n_keys} fact(s) with stored keys and other packages"
    warned = f"{len(found.warned)} warning(s) of {facts}, at {found.threshold:g}"
    return f"{found.n_real} real conflict(s); {warned}"


def _claims(fact: SharedFact) -> str:
    rows = [
        [f"  {claim.reference}", claim.target, "" if claim.prompt == fact.prompt else claim.prompt]
        for claim in fact.claims
    ]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, (30, 20, 0), strict=True)).rstrip() for row in rows
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    left = f"\n… and {len(rows) - ROWS} more (--json has all)" if len(rows) > ROWS else ""
    return render.table(rows[:ROWS], header) + left


def as_json(found: Conflicts) -> dict[str, Any]:
    """Everything that was found."""
    return {
        "model": found.model,
        "packages": found.packages,
        "added": found.added,
        "n_real": found.n_real,
        "contradictions": [_fact_json(fact) for fact in found.contradictions],
        "changed": [_fact_json(fact) for fact in found.changed],
        "duplicates": [_fact_json(fact) for fact in found.duplicates],
        "tensors": [{**asdict(tensor), "excluded": tensor.excluded} for tensor in found.tensors],
        "cross_talk": {
            "threshold": found.threshold,
            "n_keys": found.n_keys,
            "warnings": [_warned_json(one) for one in found.warned],
        },
        "overlaps": [asdict(one) for one in found.overlaps],
        "executed": None if found.executed is None else _executed_json(found.executed),
    }


def _fact_json(fact: SharedFact) -> dict[str, Any]:
    return {"prompt": fact.prompt, "claims": [asdict(claim) for claim in fact.claims]}


def _warned_json(one: Warned) -> dict[str, Any]:
    others = [{"reference": name, "ratio": _finite(ratio)} for name, ratio in one.talk.others]
    return {
        "fact": one.fact,
        "reference": one.talk.reference,
        "edit": one.talk.edit,
        "together": _finite(one.talk.together),
        "others": others,
    }


def _finite(ratio: float) -> float | None:
    """JSON has no infinity: null is a fact at whose key its own package does nothing."""
    return ratio if isfinite(ratio) else None


def _executed_json(done: Executed) -> dict[str, Any]:
    return {
        "worse": [_worse_json(one) for one in done.worse],
        "pairs": [
            {"first": pair.first, "second": pair.second, "worse": [_worse_json(one) for one in pair.worse]}
            for pair in done.pairs
        ],
        "n_probes": done.n_probes,
        "n_evaluations": done.n_evaluations,
    }


def _worse_json(one: Worse) -> dict[str, Any]:
    scores = {metric: {"made": made, "now": now} for metric, (made, now) in one.scores.items()}
    return {**asdict(one), "scores": scores, "lost": one.lost}
