"""What a change came to, or would come to, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from patchmgr.cli import render

if TYPE_CHECKING:
    from patchmgr.manager.carry_out import Outcome
    from patchmgr.ops.plan import Plan


def show_outcome(outcome: Outcome, *, json: bool) -> None:
    """Print what a change came to."""
    if json:
        render.emit_json({"outcome": asdict(outcome)})
    else:
        render.emit(outcome_text(outcome))


def outcome_text(outcome: Outcome) -> str:
    """What a change came to, in a few lines."""
    if not outcome.changed:
        return f"{outcome.model} is at generation {outcome.generation} already: nothing to do"
    moves = " ".join([*(f"+{name}" for name in outcome.added), *(f"-{name}" for name in outcome.removed)])
    written = f"{render.size(outcome.written_bytes)} written" if outcome.written_bytes else "linked, nothing written"
    return (
        f"{outcome.model}: generation {outcome.generation}{f' ({moves})' if moves else ''}, {written}\n"
        f"stack: {', '.join(outcome.stack) or 'the base'}\nstate: {render.short(outcome.state_root)}"
    )


def show_plan(found: Plan, *, json: bool) -> None:
    """Print what a change would do."""
    if json:
        render.emit_json({"plan": plan_json(found)})
    else:
        render.emit(plan_text(found))


def plan_json(found: Plan) -> dict[str, Any]:
    """What a change would do, for programs."""
    return {
        "stack": [manifest.reference for manifest in found.stack],
        "added": [manifest.reference for manifest in found.added],
        "removed": [manifest.reference for manifest in found.removed],
        "tensors": [asdict(tensor) for tensor in found.tensors],
        "written_files": found.written_files,
        "written_bytes": found.written_bytes,
        "linked_files": found.linked_files,
        "linked_bytes": found.linked_bytes,
        "contradictions": found.contradictions,
    }


def plan_text(found: Plan) -> str:
    """What a change would do, in a few lines and a table."""
    moves = [*(f"+{m.reference}" for m in found.added), *(f"-{m.reference}" for m in found.removed)]
    rows = [
        [tensor.name, tensor.dtype, "×".join(map(str, tensor.shape)), ", ".join(tensor.packages)]
        for tensor in found.tensors
    ]
    lines = [
        f"change: {' '.join(moves) or 'none'}",
        f"stack:  {', '.join(manifest.reference for manifest in found.stack) or 'the base'}",
        f"write:  {len(found.written_files)} file(s), {render.size(found.written_bytes)}; "
        f"link: {len(found.linked_files)} file(s), {render.size(found.linked_bytes)}",
    ]
    lines += [f"conflict: {words}" for words in found.contradictions]
    if rows:
        lines += ["", render.table(rows, ["TENSOR", "DTYPE", "SHAPE", "PACKAGES"])]
    return "\n".join(lines)
