"""``patchmgr export``: a package or a model's state as files for other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.export import Exported


def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="REF|MODEL",
            help="A package on its base, or a model with its whole stack.",
            autocompletion=complete.subjects,
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="peft, checkpoint, xor, or what a plugin brings.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="A folder that is not there yet.")],
    rank: Annotated[int | None, typer.Option(metavar="R", min=1, help="peft: the rank of the adapter.")] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="peft: come as near as rank and dtype allow, and say how near that is.")
    ] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="peft: what the factors are stored in.")
    ] = "float32",
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="checkpoint: leave the memories of the stack out.")
    ] = False,
    with_parents: Annotated[
        bool, typer.Option("--with-parents", help="A package together with those that it was computed on.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export of this form in DIR.")] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Write a package or a model's state in a form that other programs read. What a form cannot carry is refused.

    \b
    Examples:
      patchmgr export fact-fixes@v3 --to peft -o fact-fixes-lora
      patchmgr export llama-7b --to peft --rank 16 --lossy -o llama-7b-lora
      patchmgr export llama-7b --to xor -o update
    """
    from patchmgr.exporters.contract import ExportOptions
    from patchmgr.manager.export import ExportOrder

    options = ExportOptions(rank=rank, lossy=lossy, dtype=dtype, weights_only=weights_only)
    order = ExportOrder(name, to, output, options, with_parents=with_parents, force=force)
    with manager(quiet=quiet) as registry:
        done = registry.plan_export(order) if dry_run else registry.export(order)
    for remark in done.remarks:
        render.remark(remark, quiet=quiet)
    if json:
        render.emit_json({"dry_run": dry_run, **asdict(done)})
    else:
        render.emit(_text(done, dry_run=dry_run))


def _text(done: Exported, *, dry_run: bool) -> str:
    stack = ", ".join(done.packages) or "the base"
    if dry_run:
        return f"would write {done.name} ({stack}) as {done.to} to {done.folder}: {', '.join(done.files)}"
    state = f"\nstate {render.short(done.state_root)}" if done.state_root else ""
    written = f"{len(done.files)} file(s), {render.size(done.size_bytes or 0)}"
    return f"{done.name} ({stack}) as {done.to}: {done.folder}  {written}{state}"
