"""``patchmgr merge``: one package from several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.made import made_json, made_text, preview_text, remark_next
from patchmgr.cli.options import (
    CorpusOpt,
    DeviceMapOpt,
    DeviceOpt,
    DryRunOpt,
    EditDtypeOpt,
    EditorOpt,
    JsonOpt,
    LicenseOpt,
    MessageOpt,
    MethodOpt,
    OnOpt,
    QuietOpt,
    ReferencesArg,
    RequireOpt,
    SeedOpt,
    SetOpt,
)
from patchmgr.cli.session import manager
from patchmgr.cli.wishes import wishes

if TYPE_CHECKING:
    from patchmgr.manager.remaking.merge import Merged, MergePreview
    from patchmgr.request import EditRequest


def merge(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How the new package is called.")],
    references: ReferencesArg,
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="On whose state or base.", autocompletion=complete.models)
    ],
    how: Annotated[
        Literal["joint", "sum"],
        typer.Option(help="joint: all edits made again together; sum: the changes side by side, as they are."),
    ] = "joint",
    prefer: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="Whose edits win where packages contradict each other.",
            autocompletion=complete.references,
        ),
    ] = None,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="Store a sum without scores; no model is loaded.")
    ] = False,
    on: OnOpt = None,
    method: MethodOpt = None,
    settings: SetOpt = None,
    seed: SeedOpt = None,
    corpus: CorpusOpt = None,
    editor: EditorOpt = None,
    device: DeviceOpt = "cpu",
    dtype: EditDtypeOpt = "auto",
    device_map: DeviceMapOpt = None,
    license: LicenseOpt = None,
    require: RequireOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make one package from several. The model and the packages stay as they are.

    Packages that answer one fact differently are refused, with exit code 4, unless --prefer says whose edits win.
    A sum alone gives exactly the bytes that its packages give together; all of them must have been made on the base.

    \b
    Examples:
      patchmgr merge spring facts-march facts-april@v2 --model atlas
      patchmgr merge spring facts-march facts-april --model atlas --prefer facts-april
      patchmgr merge spring facts-march facts-april --model atlas --how sum
    """
    asked = wishes(
        settings=settings, message=message, require=require, method=method, seed=seed, corpus=corpus, on=on,
        editor=editor, device=device, dtype=dtype, device_map=device_map, license=license,
    )  # fmt: skip
    with manager(quiet=quiet) as registry:
        if dry_run:
            found = registry.check_merge(model, name, references, asked, how=how, prefer=prefer)
            _remark_left_out(found, quiet=quiet)
            if json:
                render.emit_json({"preview": asdict(found.edit), **_left_out(found)})
            else:
                render.emit(preview_text(found.edit))
            return
        done = registry.merge(model, name, references, asked, how=how, prefer=prefer, measure=not no_measure)
    _remark_left_out(done, quiet=quiet)
    if json:
        render.emit_json({**made_json(done.edit), **_left_out(done)})
        return
    render.emit(made_text(done.edit))
    remark_next(done.edit, model, quiet=quiet)


def _left_out(found: Merged | MergePreview) -> dict[str, Any]:
    return {
        "sources": found.sources,
        "repeated": [request.to_json() for request in found.repeated],
        "overruled": [request.to_json() for request in found.overruled],
    }


def _remark_left_out(found: Merged | MergePreview, *, quiet: bool) -> None:
    for requests, why in ((found.repeated, "in several packages, kept once"), (found.overruled, "overruled")):
        if requests:
            render.remark(f"{len(requests)} edit(s) {why}: {_some(requests)}", quiet=quiet)


def _some(requests: Sequence[EditRequest]) -> str:
    some = ", ".join(f"{request.text!r} → {request.target_new!r}" for request in requests[:5])
    return f"{some}, …" if len(requests) > 5 else some
