"""``patchmgr plan``, ``apply`` and ``revert``: change what a model is, or say what would change."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, MessageOpt, ModelArg, QuietOpt, ReferencesArg
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.change import Outcome
    from patchmgr.ops.plan import Plan


def plan(model: ModelArg, references: ReferencesArg, json: JsonOpt = False) -> None:
    """Say what applying packages would touch and write, without doing it.

    \b
    Examples:
      patchmgr plan atlas fact-fixes@v1
    """
    with manager() as registry:
        found = registry.plan(model, references)
    _show(found, json=json)


def apply(
    model: ModelArg,
    references: ReferencesArg,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Put packages on a model; a new generation is written and the old ones stay.

    \b
    Examples:
      patchmgr apply atlas fact-fixes@v1
      patchmgr apply llama-7b fact-fixes@v3 -m "hot fix"
    """
    with manager(quiet=quiet) as registry:
        if dry_run:
            _show(registry.plan(model, references), json=json)
            return
        outcome = registry.apply(model, references, message=message)
    _report(outcome, json=json)


def revert(
    model: ModelArg,
    references: ReferencesArg,
    cascade: Annotated[bool, typer.Option("--cascade", help="Take out what was computed on them too.")] = False,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Take packages out, wherever they lie in the stack: the rest is built anew from the base, bit for bit.

    \b
    Examples:
      patchmgr revert atlas fact-fixes@v1
    """
    with manager(quiet=quiet) as registry:
        if dry_run:
            _show(registry.plan(model, references, revert=True, cascade=cascade), json=json)
            return
        outcome = registry.revert(model, references, cascade=cascade, message=message)
    _report(outcome, json=json)


def _report(outcome: Outcome, *, json: bool) -> None:
    if json:
        render.emit_json({"outcome": asdict(outcome)})
        return
    if not outcome.changed:
        render.emit(f"{outcome.model} is at generation {outcome.generation} already: nothing to do")
        return
    moves = [*(f"+{name}" for name in outcome.added), *(f"-{name}" for name in outcome.removed)]
    stack = ", ".join(outcome.stack) or "the base"
    render.emit(
        f"{outcome.model}: generation {outcome.generation} ({' '.join(moves)}), "
        f"{render.size(outcome.written_bytes)} written\n"
        f"stack: {stack}\nstate: {render.short(outcome.state_root)}"
    )


def _show(found: Plan, *, json: bool) -> None:
    if json:
        render.emit_json({"plan": _plan_json(found)})
    else:
        render.emit(_plan_text(found))


def _plan_json(found: Plan) -> dict[str, Any]:
    return {
        "stack": [manifest.reference for manifest in found.stack],
        "added": [manifest.reference for manifest in found.added],
        "removed": [manifest.reference for manifest in found.removed],
        "tensors": [asdict(tensor) for tensor in found.tensors],
        "written_files": found.written_files,
        "written_bytes": found.written_bytes,
        "linked_files": found.linked_files,
        "linked_bytes": found.linked_bytes,
    }


def _plan_text(found: Plan) -> str:
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
    if rows:
        lines += ["", render.table(rows, ["TENSOR", "DTYPE", "SHAPE", "PACKAGES"])]
    return "\n".join(lines)
