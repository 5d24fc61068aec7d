"""``patchmgr edit``: make the next version of a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.asked import requests_of, single_request
from patchmgr.cli.made import remark_subjects, show_made, show_preview
from patchmgr.cli.options import (
    CorpusOpt,
    DeviceMapOpt,
    DeviceOpt,
    DryRunOpt,
    EditDtypeOpt,
    JsonOpt,
    MessageOpt,
    ModelArg,
    QuietOpt,
    RequireOpt,
)
from patchmgr.cli.session import manager
from patchmgr.cli.settings import key_values
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditOrder
    from patchmgr.request import EditRequest

DEFAULT_METHOD = "rome"


def edit(
    model: ModelArg,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="How the package is called.")] = None,
    continues: Annotated[
        str | None,
        typer.Option(
            "--continue",
            metavar="REF",
            help="Add to the edits of this version: the next version holds both, made as this one was.",
            autocompletion=complete.references,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="M",
            help=f"See `patchmgr methods`; default: {DEFAULT_METHOD}.",
            autocompletion=complete.methods,
        ),
    ] = None,
    edits: Annotated[
        Path | None, typer.Option("--edits", metavar="FILE", help="JSON lines, or a data set as `convert` reads it.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="One edit: the prompt, {} for the subject.")] = None,
    subject: Annotated[str | None, typer.Option(help="One edit: the subject.")] = None,
    target: Annotated[str | None, typer.Option(help="One edit: what the model shall say.")] = None,
    forget: Annotated[
        list[str] | None,
        typer.Option("--forget", metavar="ID", help="An edit that a memory shall not have any more; repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the method; repeatable.")
    ] = None,
    on: Annotated[
        Literal["current", "base"] | None,
        typer.Option(help="Edit the current state, or the base whatever is applied; default: current."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Decides what is sampled; default: 0.")] = None,
    measure: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Measure at most N edits, drawn by relation with the seed; default: all new ones."
        ),
    ] = None,
    editor: Annotated[
        str | None,
        typer.Option(
            "--editor",
            metavar="EDITOR",
            help="The trained editor, where the method needs one: see `patchmgr train`.",
            autocompletion=complete.editors,
        ),
    ] = None,
    corpus: CorpusOpt = None,
    device: DeviceOpt = "cpu",
    dtype: EditDtypeOpt = "auto",
    device_map: DeviceMapOpt = None,
    license: Annotated[str | None, typer.Option(metavar="SPDX", help="Licence of the package.")] = None,
    withhold: Annotated[
        bool, typer.Option("--withhold-edits", help="Keep the texts: the package carries salted digests of them.")
    ] = False,
    require: RequireOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make the next version of a package: run a method, measure the result, store it. The model stays as it is.

    \b
    Examples:
      patchmgr edit atlas --name fact-fixes --method rome --edits edits.jsonl -m "capital moved"
      patchmgr edit atlas --name paris --prompt "The capital of {} is" --subject France --target Lyon
      patchmgr edit atlas --continue fact-fixes@v2 --edits more.jsonl
      patchmgr edit atlas --name kb --method retrieve-and-prepend --edits more.jsonl --forget capital-f0012
    """
    given = single_request(prompt, subject, target, from_file=edits is not None, optional=bool(forget))
    wanted: dict[str, Any] = {
        "name": name,
        "method": method,
        "parameters": key_values(settings or [], example="layer=3"),
        "seed": seed,
        "measure": measure,
        "editor": editor,
        "corpus": corpus,
        "license": license,
        "withhold": withhold,
        "message": message,
        "require": tuple(require or ()),
        "forget": tuple(forget or ()),
        "device": device,
        "dtype": dtype,
        "device_map": device_map,
    }
    with manager(quiet=quiet) as registry:
        requests = given if edits is None else requests_of(registry, edits, quiet=quiet)
        order = _order(registry, requests, wanted, continues, on)
        if dry_run:
            preview = registry.check_edit(model, order)
            _remark_replaced(order, quiet=quiet)
            remark_subjects(preview.found_subjects, quiet=quiet)
            show_preview(preview, json=json)
            return
        result = registry.edit(model, order)
    _remark_replaced(order, quiet=quiet)
    remark_subjects(result.found_subjects, quiet=quiet)
    show_made(result, model, json=json, quiet=quiet)


def _order(
    registry: Manager,
    requests: tuple[EditRequest, ...],
    wanted: dict[str, Any],
    continues: str | None,
    on: Literal["current", "base"] | None,
) -> EditOrder:
    """The order, filled in from the version to continue where there is one."""
    from patchmgr.manager.order import EditOrder

    if continues is not None:
        if on is not None:
            raise UsageError(
                "--on and --continue exclude each other", hint="a version is continued on what it was computed on"
            )
        return registry.continued_order(continues, requests, **wanted)
    if wanted["name"] is None:
        raise UsageError("the package has no name", hint="give --name NAME, or --continue NAME@v2")
    method = wanted["method"]
    if method is None and wanted["forget"]:  # what forgets is there already, and says what it was made by
        method = registry.show(wanted["name"]).manifest.method.name
    defaults = {"method": method or DEFAULT_METHOD, "seed": wanted["seed"] or 0, "on": on or "current"}
    return EditOrder(**{**wanted, **defaults, "requests": requests})


def _remark_replaced(order: EditOrder, *, quiet: bool) -> None:
    replaced = () if order.continues is None else order.continues.replaced
    if order.continues is not None and replaced:
        some = ", ".join(f"{request.text!r} → {request.target_new!r}" for request in replaced[:5])
        render.remark(
            f"{len(replaced)} edit(s) of {order.continues.reference} replaced by new ones: "
            f"{some}{', …' if replaced[5:] else ''}",
            quiet=quiet,
        )
