"""``patchmgr diff``: what differs between two packages, two versions or two states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DeviceOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.diff.diff import Part

_DIFFERENT = 1


def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="REF, ./FOLDER, MODEL or MODEL#GEN.", autocompletion=complete.subjects)
    ],
    b: Annotated[
        str | None,
        typer.Argument(metavar="B", help="Without it, A and what was before it.", autocompletion=complete.subjects),
    ] = None,
    edits: Annotated[bool, typer.Option("--edits", help="Compare the edits.")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="Compare the weights, tensor by tensor.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Compare the scores.")] = False,
    answers: Annotated[
        bool, typer.Option("--eval", help="Compare the answers to all probes of both; this loads the model.")
    ] = False,
    stat: Annotated[bool, typer.Option("--stat", help="Print a summary.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when there are differences.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="With --eval: draw so many edits of each side.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides what --limit draws.")] = 0,
    device: DeviceOpt = "cpu",
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Compare two packages, two versions or two states; what is alike is not shown. The parts named are compared alone.

    MODEL#2 is generation 2 of a model, MODEL~1 the one before its current one. One name alone is compared with what it
    was before: a version with its parent, a model with its last generation.

    \b
    Examples:
      patchmgr diff fact-fixes@v1 fact-fixes@v2
      patchmgr diff fact-fixes
      patchmgr diff atlas#3 atlas --edits --eval
    """
    from patchmgr.cli.diff_text import difference_text, stat_text
    from patchmgr.manager.diff.diff import READ, DiffOrder

    chosen: dict[Part, bool] = {"edits": edits, "weights": weights, "scores": scores, "answers": answers}
    parts = tuple(part for part, wanted in chosen.items() if wanted) or READ
    with manager(quiet=quiet) as registry:
        found = registry.diff(a, b, DiffOrder(parts, limit, seed, device))
    if json:
        render.emit_json({"differ": not found.is_empty, "difference": _plain(found)})
    elif not found.is_empty:
        render.emit(stat_text(found) if stat else difference_text(found))
    if exit_code and not found.is_empty:
        raise typer.Exit(_DIFFERENT)


def _plain(value: Any) -> Any:
    """Plain JSON values; a score has its change beside it."""
    from pydantic import BaseModel

    from patchmgr.ops.difference.contract import ScoreDifference

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if is_dataclass(value) and not isinstance(value, type):
        found = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {**found, "change": value.change} if isinstance(value, ScoreDifference) else found
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
