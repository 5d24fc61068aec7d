"""``patchmgr import``: take in a package, or a LoRA adapter as a package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.asked import requests_of
from patchmgr.cli.made import preview_text, show_made
from patchmgr.cli.options import DeviceOpt, DryRunOpt, EditDtypeOpt, JsonOpt, MessageOpt, QuietOpt, RequireOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.importing import ImportPreview
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditOrder


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder of a package, or of a LoRA adapter.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="Adapter: the model on its base.", autocompletion=complete.models
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Adapter: what to call it; default: as its folder.")
    ] = None,
    edits: Annotated[
        Path | None,
        typer.Option("--edits", metavar="FILE", help="Adapter: what it shall answer; it is measured on it."),
    ] = None,
    license: Annotated[str | None, typer.Option(metavar="SPDX", help="Adapter: its licence.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also a package that was forgotten here (`patchmgr forget`).")
    ] = False,
    require: RequireOpt = None,
    device: DeviceOpt = "cpu",
    dtype: EditDtypeOpt = "auto",
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Take a package into the registry, every byte checked, or make one from a LoRA adapter that PEFT wrote.

    \b
    Examples:
      patchmgr import ./fact-fixes
      patchmgr import ./my-lora --model llama-7b --name my-facts --edits facts.jsonl -m "trained by hand"
    """
    from patchmgr.manager.importing import kind_of

    said: dict[str, Any] = {"message": message, "license": license, "require": tuple(require or ())}
    with manager(quiet=quiet) as registry:
        if kind_of(path) == "package":
            _refuse_said(
                {"--name": name, "--edits": edits, "--model": model, "--license": license, "-m": message,
                 "--require": require, "--device": device != "cpu", "--dtype": dtype != "auto"}
            )  # fmt: skip
            if dry_run:
                _show_preview(registry.check_import(path), json=json)
                return
            version = registry.import_package(path, again=again)
            if json:
                render.emit_json({"reference": version.reference, "digest": version.digest})
            else:
                render.emit(f"{version.reference}  {version.n_edits} edit(s), {render.short(version.digest)}")
            return
        if model is None:
            raise UsageError("an adapter goes on a base", hint="give --model MODEL, a model on the base of the adapter")
        order = _order(registry, path, name, edits, {**said, "device": device, "dtype": dtype}, quiet=quiet)
        if dry_run:
            _show_preview(registry.check_import(path, model, order), json=json)
            return
        result = registry.import_adapter(model, path, order)
    show_made(result, model, json=json, quiet=quiet)


def _order(
    registry: Manager, path: Path, name: str | None, edits: Path | None, said: dict[str, Any], *, quiet: bool
) -> EditOrder:
    from patchmgr.manager.importing import adapter_order

    requests = () if edits is None else requests_of(registry, edits, quiet=quiet)
    return adapter_order(name or path.resolve().name, requests=requests, **said)


def _refuse_said(said: dict[str, object]) -> None:
    """A package says all of this itself, and it is not measured to be taken in."""
    idle = [word for word, value in said.items() if value]
    if idle:
        raise UsageError(
            f"a package keeps its own name, edits, base, message and scores, so {', '.join(idle)} says nothing",
            hint="leave it out, and `patchmgr evaluate REF --require …` before it is applied; "
            "for a LoRA adapter name a folder without patch.json",
        )


def _show_preview(preview: ImportPreview, *, json: bool) -> None:
    if json:
        render.emit_json({"preview": asdict(preview)})
    else:
        render.emit(f"would take in {preview.reference}" if preview.edit is None else preview_text(preview.edit))
