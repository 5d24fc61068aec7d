"""``patchmgr rebase``: make a package again from its own edits on another state, or for another base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.made import made_text, remark_next, show_preview
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
    OnOpt,
    QuietOpt,
    RequireOpt,
    SeedOpt,
    SetOpt,
)
from patchmgr.cli.session import manager
from patchmgr.cli.survival import rebased_json, survival_lines
from patchmgr.cli.wishes import wishes
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.remaking.rebase import Rebased


def rebase(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] REF", help="On whose state, and which package.", autocompletion=complete.subjects
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="MODEL", help="Carry it to the base of this model.", autocompletion=complete.models
        ),
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
    """Make a package again by its own method from its own edits: its next version. The model stays as it is.

    It is computed on the model's present state without the package itself, or with --on base on the pristine base.
    On the base that it was made for it is made as it was; on another, parameters that nobody gave are derived anew.
    What survives is told edit by edit.

    \b
    Examples:
      patchmgr rebase atlas fact-fixes@v1
      patchmgr rebase fact-fixes@v3 --base llama-8b
    """
    model, reference = _meant(words, base)
    asked = wishes(
        settings=settings, message=message, require=require, method=method, seed=seed, editor=editor, corpus=corpus,
        on=on or (None if base is None else "base"), device=device, dtype=dtype, device_map=device_map,
    )  # fmt: skip
    with manager(quiet=quiet) as registry:
        if dry_run:
            show_preview(registry.check_rebase(model, reference, asked), json=json)
            return
        done = registry.rebase(model, reference, asked)
    if json:
        render.emit_json(rebased_json(done))
        return
    render.emit(made_text(done.edit))
    render.emit(f"\n{survival_lines(done.survival)}")
    _remark_parameters(done, quiet=quiet)
    remark_next(done.edit, model, quiet=quiet)


def _meant(words: list[str], base: str | None) -> tuple[str, str]:
    if base is not None and len(words) == 1:
        return base, words[0]
    if base is None and len(words) == 2:
        return words[0], words[1]
    raise UsageError(
        "a rebase takes a model and a package, or a package and --base MODEL",
        hint="patchmgr rebase MODEL REF, or patchmgr rebase REF --base MODEL",
    )


def _remark_parameters(done: Rebased, *, quiet: bool) -> None:
    if done.changed:
        values = ", ".join(f"{name} {was} → {now}" for name, (was, now) in done.changed.items())
        render.remark(f"other parameters than {done.source}: {values}; --set keeps one", quiet=quiet)
