"""``patchmgr cherry-pick``: some edits of a package as a package."""

from __future__ import annotations

from typing import Annotated

import typer

from patchmgr.cli.made import remark_subjects, show_made, show_preview
from patchmgr.cli.options import (
    CorpusOpt,
    DeviceMapOpt,
    DeviceOpt,
    DryRunOpt,
    EditDtypeOpt,
    EditorOpt,
    JsonOpt,
    MessageOpt,
    MethodOpt,
    ModelArg,
    OnOpt,
    QuietOpt,
    ReferenceArg,
    RequireOpt,
    SeedOpt,
    SetOpt,
)
from patchmgr.cli.session import manager
from patchmgr.cli.wishes import wishes


def cherry_pick(
    model: ModelArg,
    reference: ReferenceArg,
    edits: Annotated[
        list[str] | None, typer.Argument(metavar="EDIT", help="An id, a place such as '#3', or a prompt.")
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Edits that hold this in prompt, relation or target; repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NEW", help="A package of its own; default: the next version.")
    ] = None,
    on: OnOpt = None,
    method: MethodOpt = None,
    settings: SetOpt = None,
    seed: SeedOpt = None,
    corpus: CorpusOpt = None,
    editor: EditorOpt = None,
    device: DeviceOpt = "cpu",
    dtype: EditDtypeOpt = "auto",
    device_map: DeviceMapOpt = None,
    require: RequireOpt = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make some edits of a package again, on the state of a model without that package. The model stays as it is.

    \b
    Examples:
      patchmgr cherry-pick atlas fact-fixes@v2 capital-f0012 '#3' --name capitals
      patchmgr cherry-pick prod staging-fixes --match France
    """
    asked = wishes(
        settings=settings, message=message, require=require, method=method, seed=seed, corpus=corpus, on=on,
        editor=editor, device=device, dtype=dtype, device_map=device_map,
    )  # fmt: skip
    with manager(quiet=quiet) as registry:
        if dry_run:
            preview = registry.check_cherry_pick(model, reference, edits or (), asked, match=match or (), name=name)
            remark_subjects(preview.found_subjects, quiet=quiet)
            show_preview(preview, json=json)
            return
        result = registry.cherry_pick(model, reference, edits or (), asked, match=match or (), name=name)
    remark_subjects(result.found_subjects, quiet=quiet)
    show_made(result, model, json=json, quiet=quiet)
