"""``patchmgr model``: register bases under names, list, show, verify and forget them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, ModelArg, QuietOpt, YesOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr_registry import ModelRecord

app = typer.Typer(name="model", help="Register bases under names, list, verify and forget them.", no_args_is_help=True)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How the model shall be called.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="demo:atlas, a checkpoint folder, or a Hub id.")],
    revision: Annotated[str | None, typer.Option(metavar="R", help="A branch, tag or commit of a Hub id.")] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Register a base under a name and fingerprint it; the base is read, never written.

    \b
    Examples:
      patchmgr model add atlas demo:atlas
      patchmgr model add llama-7b meta-llama/Llama-2-7b-hf
    """
    with manager(quiet=quiet) as registry:
        record = registry.add_model(name, source, revision=revision)
    if json:
        render.emit_json({"model": asdict(record)})
    else:
        render.emit(f"{record.name}: {_line(record)}")


@app.command("list")
def list_models(json: JsonOpt = False) -> None:
    """List the models of the registry."""
    with manager() as registry:
        records = registry.list_models()
    if json:
        render.emit_json({"models": [asdict(record) for record in records]})
        return
    rows = [
        [
            record.name,
            record.base.source,
            record.base.architecture,
            render.size(record.base.size_bytes),
            record.generation,
        ]
        for record in records
    ]
    header = ["MODEL", "SOURCE", "ARCHITECTURE", "SIZE", "GENERATION"]
    none = "no models; begin with `patchmgr model add NAME SOURCE`"
    render.emit(render.table(rows, header, right=[3, 4]) if rows else none)


@app.command("show")
def show(model: ModelArg, json: JsonOpt = False) -> None:
    """Show where a model's base came from and what it is known by."""
    with manager() as registry:
        record = registry.show_model(model)
    if json:
        render.emit_json({"model": asdict(record)})
        return
    base = record.base
    rows: list[tuple[str, object]] = [
        ("model", record.name),
        ("source", base.source if base.revision is None else f"{base.source} at {base.revision}"),
        ("folder", base.folder),
        ("architecture", base.architecture),
        ("parameters", f"{base.n_parameters:,}"),
        ("size", render.size(base.size_bytes)),
        ("fingerprint", base.fingerprint),
        ("config", base.config_sha256),
        ("tokenizer", base.tokenizer_sha256),
        ("generation", record.generation),
    ]
    render.emit(render.fields(rows, 13))


@app.command("verify")
def verify(model: ModelArg, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Read a model's base and current state again, every byte, and compare them with the registry (exit 6)."""
    with manager(quiet=quiet) as registry:
        verified = registry.verify_model(model)
    if json:
        render.emit_json({"verified": asdict(verified)})
    else:
        render.emit(f"{model}: {verified.tensors} tensors, {render.size(verified.size_bytes)}: as registered")


@app.command("remove")
def remove(model: ModelArg, yes: YesOpt = False, dry_run: DryRunOpt = False, quiet: QuietOpt = False) -> None:
    """Forget a model and delete its generations; its base, packages and history stay."""
    with manager() as registry:
        registry.show_model(model)
        generations = registry.log(model).generations
        if dry_run:
            render.emit(f"would forget {model} and delete {len(generations) - 1} generation(s)")
            return
        if not yes:
            typer.confirm(f"Forget {model} and delete its generations?", abort=True, err=True)
        registry.remove_model(model)
    render.remark(f"forgot {model}", quiet=quiet)


def _line(record: ModelRecord) -> str:
    base = record.base
    return (
        f"{base.architecture}, {base.n_parameters:,} parameters, {render.size(base.size_bytes)}, "
        f"fingerprint {render.short(base.fingerprint)}"
    )
