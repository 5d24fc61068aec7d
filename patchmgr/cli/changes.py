"""``patchmgr plan``, ``apply``, ``revert`` and ``rollback``: change what a model is, or say what would change."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import (
    AllowConflictsOpt,
    CorpusOpt,
    DeviceOpt,
    DryRunOpt,
    EditDtypeOpt,
    EditorOpt,
    JsonOpt,
    MessageOpt,
    ModelArg,
    QuietOpt,
    ReferencesArg,
    RequireOpt,
    SignaturesOpt,
)
from patchmgr.cli.outcomes import show_outcome, show_plan
from patchmgr.cli.reverted import show_revert_preview, show_reverted
from patchmgr.cli.session import manager
from patchmgr.cli.wishes import wishes
from patchmgr.errors import UsageError


def plan(model: ModelArg, references: ReferencesArg, signatures: SignaturesOpt = None, json: JsonOpt = False) -> None:
    """Say what applying packages would touch and write, without doing it.

    \b
    Examples:
      patchmgr plan atlas fact-fixes@v1
    """
    with manager(signatures=signatures) as registry:
        found = registry.plan(model, references)
    show_plan(found, json=json)


def apply(
    model: ModelArg,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="REF", help="As in `patchmgr show`.", autocompletion=complete.references),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write the checkpoint there and leave the model as it is."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="With -o: link files that need not be written.")] = False,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", metavar="METRIC>=X", help="Measure first; exit 3 and no change when it fails."),
    ] = None,
    allow_conflicts: AllowConflictsOpt = False,
    signatures: SignaturesOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Put packages on a model; a new generation is written and the old ones stay.

    A package that answers a fact otherwise than the rest of the stack is refused, with exit code 4.
    With ``-o`` the model stays as it is: the checkpoint is written to a folder of yours, to be shipped.

    \b
    Examples:
      patchmgr apply atlas fact-fixes@v1
      patchmgr apply llama-7b fact-fixes@v3 -m "hot fix"
      patchmgr apply llama-7b fact-fixes@v3 --require "reliability>=0.95" --require "retention/reliability>=0.9"
      patchmgr apply llama-7b fact-fixes@v3 -o ./llama-7b-fixed
    """
    if not references and out is None:
        raise UsageError("no package is named", hint="name one, or give -o DIR to write the state as it is")
    if message and out is not None:
        raise UsageError("-m is for the history, and -o makes none", hint="leave one of them out")
    if require and (out is not None or dry_run):
        raise UsageError("--require goes with a change of the model", hint="measure with `patchmgr evaluate`")
    if link and out is None:
        raise UsageError("--link goes with -o DIR", hint="a generation is always linked where it can be")
    with manager(quiet=quiet, signatures=signatures) as registry:
        if dry_run:
            planned = registry.plan if out is None else partial(registry.plan_out, destination=out, links=link)
            show_plan(planned(model, references or []), json=json)
            return
        if out is not None:
            written = registry.write_out(model, references or [], out, links=link, allow_conflicts=allow_conflicts)
        else:
            outcome = registry.apply(
                model, references or [], message=message, require=require or (), allow_conflicts=allow_conflicts
            )
    if out is None:
        show_outcome(outcome, json=json)
    elif json:
        render.emit_json({"written_out": asdict(written)})
    else:
        stack = ", ".join(written.stack) or "the base"
        render.emit(f"{written.folder}: {stack}, {render.size(written.written_bytes)} written")


def revert(
    model: ModelArg,
    references: ReferencesArg,
    edits: Annotated[
        list[str] | None,
        typer.Option("--edit", metavar="EDIT", help="Only this edit, by id, place ('#3') or prompt; repeatable."),
    ] = None,
    no_apply: Annotated[
        bool, typer.Option("--no-apply", help="With --edit: only make the version without them.")
    ] = False,
    cascade: Annotated[bool, typer.Option("--cascade", help="Take out what was computed on them too.")] = False,
    rebase: Annotated[
        bool, typer.Option("--rebase", help="Make what was computed on them again, on what is left.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Leave what was computed on them as it is, and measure what is left.")
    ] = False,
    no_measure: Annotated[bool, typer.Option("--no-measure", help="With --force: do not measure.")] = False,
    corpus: CorpusOpt = None,
    editor: EditorOpt = None,
    device: DeviceOpt = "cpu",
    dtype: EditDtypeOpt = "auto",
    require: RequireOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Take packages out, wherever they lie in the stack: the rest is built anew from the base, bit for bit.

    With --edit a package loses single edits: its next version is made without them and takes its place.
    A package that others were computed on is not taken out, unless --cascade, --rebase or --force says what becomes
    of those.

    \b
    Examples:
      patchmgr revert atlas fact-fixes@v1
      patchmgr revert atlas fact-fixes --edit capital-f0012 --edit '#3'
      patchmgr revert atlas fact-fixes --rebase
    """
    chosen = [word for word, given in (("cascade", cascade), ("rebase", rebase), ("force", force)) if given]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other", hint="choose one")
    asked = wishes(message=message, require=require, corpus=corpus, editor=editor, device=device, dtype=dtype)
    how: dict[str, Any] = {"edits": edits or (), "apply": not no_apply, "dependants": (chosen or ["refuse"])[0]}
    with manager(quiet=quiet) as registry:
        if dry_run:
            show_revert_preview(registry.check_take_out(model, references, asked, **how), json=json)
            return
        done = registry.take_out(model, references, asked, measure=not no_measure, **how)
    show_reverted(done, json=json)


def rollback(
    model: ModelArg,
    generation: Annotated[
        int | None, typer.Argument(metavar="[GEN]", help="Its number; without it, the state before this one.", min=0)
    ] = None,
    signatures: SignaturesOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make a model what it was after an earlier change; at once, when that generation's folder still exists.

    A new generation is made, so that rolling back can be rolled back. `patchmgr log MODEL` shows the numbers.

    \b
    Examples:
      patchmgr rollback llama-7b
      patchmgr rollback llama-7b 4 -m "v4 was the last good one"
    """
    with manager(quiet=quiet, signatures=signatures) as registry:
        if dry_run:
            show_plan(registry.plan_rollback(model, generation), json=json)
            return
        outcome = registry.rollback(model, generation, message=message)
    show_outcome(outcome, json=json)
