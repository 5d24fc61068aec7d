"""``patchmgr conflicts``: what packages have to do with each other, before or after they are applied together."""

from __future__ import annotations

from typing import Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DeviceOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.errors import ConflictError


def conflicts(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL|REF [REF]…",
            help="A model; a model and what would be added; or packages by themselves.",
            autocompletion=complete.subjects,
        ),
    ],
    cross_talk: Annotated[
        float | None,
        typer.Option(
            "--cross-talk",
            metavar="X",
            min=0.0,
            help="Warn where others do X times as much at a fact's key.",
            show_default="0.5",
        ),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Ask the model what is worse now, and find who did it.")] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="Ask it with every two packages.")] = False,
    most: Annotated[int, typer.Option(min=0, help="With --run: find who did it for so many probes at most.")] = 20,
    device: DeviceOpt = "cpu",
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Say which packages contradict each other, and which may disturb each other's facts; exit 4 at a real conflict.

    Without --run nothing is loaded: facts, tensors, stored keys and the spaces of low-rank changes are compared.
    A real conflict is a fact with two answers, a tensor that is replaced twice, or, with --run, an edit that is lost.

    \b
    Examples:
      patchmgr conflicts atlas
      patchmgr conflicts atlas new-facts@v2
      patchmgr conflicts fact-fixes@v3 new-facts@v2
      patchmgr conflicts atlas --run
    """
    from patchmgr.cli.conflicts_words import as_json, as_text
    from patchmgr.manager.conflicts.conflicts import ConflictsOrder

    default = ConflictsOrder().cross_talk
    order = ConflictsOrder(default if cross_talk is None else cross_talk, run, pairs, most, device)
    with manager(quiet=quiet) as registry:
        found = registry.conflicts(words, order)
    if json:
        render.emit_json({"conflicts": as_json(found)})
    else:
        render.emit(as_text(found))
    if found.n_real:
        raise typer.Exit(ConflictError.exit_code)
