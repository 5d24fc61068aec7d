"""``patchmgr status``: what a model is now."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.status import ModelStatus


def status(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Without it, every model.", autocompletion=complete.models)
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Show what a model is now: its base, generation and the packages on it.

    \b
    Examples:
      patchmgr status atlas
    """
    with manager() as registry:
        found = registry.status(model)
    if json:
        render.emit_json({"models": [asdict(entry) for entry in found]})
    elif not found:
        render.emit("no models; begin with `patchmgr model add NAME SOURCE`")
    else:
        render.emit("\n\n".join(_text(entry) for entry in found))


def _text(entry: ModelStatus) -> str:
    source = entry.source if entry.revision is None else f"{entry.source} at {entry.revision[:12]}"
    lines = [
        f"{entry.model}: generation {entry.generation}, since {entry.changed[:19].replace('T', ' ')} UTC",
        f"base   {source} ({render.short(entry.fingerprint)})",
        f"state  {render.short(entry.state_root)}",
    ]
    if not entry.stack:
        return "\n".join([*lines, "stack  empty: the base as it came"])
    rows = [
        [i, package.reference, package.method, package.n_edits, render.short(package.digest), package.message]
        for i, package in enumerate(entry.stack, start=1)
    ]
    return "\n".join([*lines, "", render.table(rows, ["#", "PACKAGE", "METHOD", "EDITS", "DIGEST", "MESSAGE"])])
