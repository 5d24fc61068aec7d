"""``patchmgr gc``: clear away generations that are not needed."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def gc(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="Without it, every model and the blobs.", autocompletion=complete.models
        ),
    ] = None,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="Keep the newest N of each model.", min=1)] = 3,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Only what is older, such as 12h, 30d or 6w.")
    ] = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Clear away the folders of old generations; their history stays, and `rollback` makes them again.

    \b
    Examples:
      patchmgr gc --dry-run
      patchmgr gc llama-7b --keep 2 --older-than 30d
    """
    age = None if older_than is None else _age(older_than)
    with manager(quiet=quiet) as registry:
        cleared = registry.gc(model, keep=keep, older_than_s=age, dry_run=dry_run)
    if json:
        render.emit_json({"cleared": asdict(cleared), "dry_run": dry_run})
        return
    verb = "would clear" if dry_run else "cleared"
    names = ", ".join(f"{name} {number}" for name, number in cleared.generations)
    generations = f"{len(cleared.generations)} generation(s){f' ({names})' if names else ''}"
    lines = [f"{verb} {generations} and {cleared.n_blobs} blob(s): {render.size(cleared.freed_bytes)}"]
    if cleared.young_bytes:
        lines.append(f"{render.size(cleared.young_bytes)} of blobs that no version is made of stay: not a day old")
    render.emit("\n".join([*lines, *(f"{name} is being changed and was left alone" for name in cleared.busy)]))


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text)
    if found is None:
        raise UsageError(f"{text!r} is no age", hint="write a number and m, h, d or w, such as 30d")
    return float(found[1]) * _SECONDS[found[2]]
