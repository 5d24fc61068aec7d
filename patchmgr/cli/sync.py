"""``patchmgr sync``: make models what ``patches.lock`` says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt, MessageOpt, ProjectOpt, QuietOpt, SignaturesOpt
from patchmgr.cli.outcomes import outcome_text, plan_json, plan_text
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError


def sync(
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="Only this model.", autocompletion=complete.models),
    ] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Go by patches.lock alone, whatever patches.toml says.")
    ] = False,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", metavar="METRIC>=X", help="Measure first; exit 3 and no change when it fails."),
    ] = None,
    project: ProjectOpt = Path(),
    signatures: SignaturesOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make each model exactly what patches.lock says, to the digest of every tensor; nothing where it is that already.

    A package, base or result that is another than the locked one ends it before the model changes.

    \b
    Examples:
      patchmgr sync --dry-run
      patchmgr sync -m "release 12"
    """
    if require and dry_run:
        raise UsageError("--require goes with a change of the model", hint="measure with `patchmgr evaluate`")
    with manager(quiet=quiet, signatures=signatures) as registry:
        if dry_run:
            plans = registry.plan_sync(project, model=model, frozen=frozen)
            if json:
                render.emit_json({"plans": {name: plan_json(plan) for name, plan in plans.items()}})
            else:
                render.emit("\n\n".join(f"{name}:\n{plan_text(plan)}" for name, plan in plans.items()))
            return
        outcomes = registry.sync(project, model=model, frozen=frozen, message=message, require=require or ())
    if json:
        render.emit_json({"outcomes": [asdict(outcome) for outcome in outcomes]})
    else:
        render.emit("\n".join(map(outcome_text, outcomes)) or "patches.lock has no model: nothing to do")
