"""``patchmgr outdated``: newer versions of what is applied."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.session import manager


def outdated(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Default: every model.", autocompletion=complete.models)
    ] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Say of which applied packages there are newer versions, in the registry or where they come from.

    \b
    Examples:
      patchmgr outdated
      patchmgr outdated llama-7b --json
    """
    with manager(quiet=quiet) as registry:
        found = registry.outdated(model)
    for one in found:
        if one.trouble:
            render.remark(f"{one.package}: {one.remote} could not be asked: {one.trouble}", quiet=quiet)
    if json:
        render.emit_json({"outdated": [asdict(one) for one in found]})
        return
    rows = [
        [one.model, one.package, f"v{one.applied}", f"v{one.here}", f"v{one.there}" if one.there else "-",
         (one.remote or "").removeprefix("hf://") or "-"]
        for one in found
        if one.newest > one.applied
    ]  # fmt: skip
    header = ["MODEL", "PACKAGE", "APPLIED", "HERE", "THERE", "FROM"]
    render.emit(render.table(rows, header) if rows else "everything applied is the newest there is")
