"""What survives a rebase, edit by edit, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchmgr.cli.made import made_json
from patchmgr.cli.render import table
from patchmgr.cli.scores import number

if TYPE_CHECKING:
    from patchmgr.manager.remaking.rebase import Rebased
    from patchmgr.manager.remaking.surviving import Fact, Survival

_SHOWN = ("reliability", "generalization", "locality", "portability")
_WORDS = {True: "yes", False: "no", None: "?"}
_LONGEST = 48


def survival_lines(survival: Survival) -> str:
    """One row an edit, with its scores before and now; then the counts."""
    facts = survival.facts
    metrics = [name for name in _SHOWN if any(name in fact.now for fact in facts)]
    rows = [
        [
            fact.edit,
            _brief(f"{fact.prompt} → {fact.target}"),
            _WORDS[fact.held],
            _WORDS[fact.holds],
            *(_change(fact, name) for name in metrics),
        ]
        for fact in facts
    ]
    header = ["EDIT", "FACT", "HELD", "HOLDS", *(name.upper() for name in metrics)]
    unknown = f"\nwhat held before is not known: {survival.unknown}" if survival.unknown else ""
    return f"{table(rows, header)}\n{_counts(survival)}{unknown}"


def rebased_json(done: Rebased) -> dict[str, Any]:
    """A rebase as JSON values."""
    return {
        "source": done.source,
        **made_json(done.edit),
        "kept_parameters": done.kept,
        "changed_parameters": {name: {"was": was, "now": now} for name, (was, now) in done.changed.items()},
        **survival_json(done.survival),
    }


def survival_json(survival: Survival) -> dict[str, Any]:
    """Every edit with its scores in three states."""
    facts = [
        {
            "edit": fact.edit,
            "prompt": fact.prompt,
            "target": fact.target,
            "held": fact.held,
            "holds": fact.holds,
            "scores": {"was": fact.was, "without": fact.bare, "now": fact.now},
        }
        for fact in survival.facts
    ]
    return {"facts": facts, "unknown": survival.unknown or None}


def _counts(survival: Survival) -> str:
    n, now = len(survival.facts), sum(fact.holds for fact in survival.facts)
    if survival.unknown:
        return f"{now} of {n} hold now"
    survived, lost = survival.count(held=True, holds=True), survival.count(held=True, holds=False)
    return f"{survived} of {survived + lost} that held survived; {now} of {n} hold now"


def _change(fact: Fact, name: str) -> str:
    if name not in fact.now:
        return ""
    was = "?" if fact.was is None else number(fact.was[name])
    return f"{was} → {number(fact.now[name])}"


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
