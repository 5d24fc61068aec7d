"""``patchmgr audit``: who did what, and whether the record still holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager


def audit(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|verify]",
            help="A model, nothing for all events, or `verify` to check the chain.",
            autocompletion=complete.models,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the last ones.")] = None,
    json: JsonOpt = False,
) -> None:
    """Show who did what to a model, when, and on which evidence; `audit verify` checks the chain (exit 6).

    Examples:
      patchmgr audit atlas
      patchmgr audit verify
    """
    if target == "verify":
        _verify(json=json)
        return
    with manager() as registry:
        events = registry.events(target, limit=limit)
    if json:
        render.emit_json({"events": [event.to_json() for event in events]})
        return
    rows = [
        [
            event.sequence,
            event.time[:19].replace("T", " "),
            f"{event.actor}@{event.host}",
            event.action,
            " ".join(
                f"{thing.name}({render.short(thing.digest)})" if thing.digest else thing.name
                for thing in event.objects
                if thing.kind in ("model", "package", "base")
            ),
            render.short(event.sha256),
        ]
        for event in events
    ]
    render.emit(render.table(rows, ["#", "WHEN (UTC)", "WHO", "ACTION", "WHAT", "HASH"]))


def _verify(*, json: bool) -> None:
    with manager() as registry:
        report = registry.verify_audit()
    if json:
        render.emit_json({"audit": asdict(report)})
    else:
        render.emit(f"the chain holds: {report.n_events} event(s), head {report.head_sha256}")
