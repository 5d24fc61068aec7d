"""``patchmgr train``: train the networks that edits of a method use, and keep them as an editor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.asked import requests_of
from patchmgr.cli.options import DeviceOpt, DryRunOpt, JsonOpt, MessageOpt, ModelArg, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.cli.settings import key_values

if TYPE_CHECKING:
    from patchmgr.manager.editors.train import TrainPreview
    from patchmgr_registry import EditorRecord


def train(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD", help="One that learns before it edits, such as serac.", autocompletion=complete.methods
        ),
    ],
    model: ModelArg,
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="Requests with probes, in any known format.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="How the editor is called.")],
    validation: Annotated[
        Path | None, typer.Option("--validation", metavar="FILE", help="To stop by; else a share is kept back.")
    ] = None,
    share: Annotated[float, typer.Option("--keep-back", metavar="X", help="That share, by subject.")] = 0.1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the training; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the draws, and which requests are kept back.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Do not go on from an interrupted run.")] = False,
    license: Annotated[str | None, typer.Option("--license", metavar="SPDX", help="Such as MIT.")] = None,
    message: MessageOpt = "",
    device: DeviceOpt = "cpu",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Train an editor on a model's base. Interrupted, the same command goes on and gives the same result.

    \b
    Examples:
      patchmgr train serac atlas --data train.jsonl --name scope
      patchmgr edit atlas --name kb --method serac --editor scope --edits edits.jsonl
    """
    from patchmgr.manager.editors.train import TrainOrder

    def report(step: int, figures: Mapping[str, float]) -> None:
        told = "  ".join(f"{figure} {value:.4f}" for figure, value in figures.items())
        render.remark(f"step {step}: {told}", quiet=quiet)

    with manager(quiet=quiet) as registry:
        order = TrainOrder(
            name=name,
            method=method,
            requests=requests_of(registry, data, quiet=quiet),
            validation=() if validation is None else requests_of(registry, validation, quiet=quiet),
            share=share,
            parameters=key_values(settings or [], example="steps=1000"),
            seed=seed,
            message=message,
            license=license,
            device=device,
            restart=restart,
            report=report,
        )
        if dry_run:
            _show_preview(registry.editors.check_training(model, order), json=json)
        else:
            _show(registry.editors.train(model, order), json=json, quiet=quiet)


def _show_preview(preview: TrainPreview, *, json: bool) -> None:
    if json:
        render.emit_json({"dry_run": True, **preview.__dict__})
        return
    how = "go on from an interrupted run of" if preview.resumes else "train"
    render.emit(
        f"would {how} {preview.reference} by {preview.method}: {preview.n_training} requests, "
        f"{preview.n_validation} to validate"
    )


def _show(editor: EditorRecord, *, json: bool, quiet: bool) -> None:
    if json:
        render.emit_json({"editor": {"reference": editor.reference, "digest": editor.digest, "method": editor.method}})
        return
    render.emit(f"{editor.reference}  sha256:{render.short(editor.digest)}  {render.size(editor.size_bytes)}")
    render.remark(
        f"next: patchmgr edit MODEL --name NAME --method {editor.method} --editor {editor.reference} --edits FILE",
        quiet=quiet,
    )
