"""``patchmgr audit``: who did what, and whether the record still holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr_registry import Event, EventObject


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

    \b
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
            " ".join(_named(thing) for thing in event.objects if _is_shown(event, thing)),
            render.short(event.sha256),
        ]
        for event in events
    ]
    render.emit(render.table(rows, ["#", "WHEN (UTC)", "WHO", "ACTION", "WHAT", "HASH"]))


def _named(thing: EventObject) -> str:
    if thing.kind == "conflict":
        return f"conflict({thing.name})"
    sign = {"added": "+", "removed": "-"}.get(thing.kind, "")
    return f"{sign}{thing.name}({render.short(thing.digest)})" if thing.digest else f"{sign}{thing.name}"


def _is_shown(event: Event, thing: EventObject) -> bool:
    """Of a changed stack only what moved, and what was let pass; the whole of it is in the event."""
    moves = event.action in ("apply", "revert", "sync")
    return thing.kind in (
        ("model", "added", "removed", "conflict") if moves else ("model", "package", "editor", "base")
    )


def _verify(*, json: bool) -> None:
    with manager() as registry:
        report = registry.verify_audit()
    if json:
        render.emit_json({"audit": asdict(report)})
    else:
        render.emit(f"the chain holds: {report.n_events} event(s), head {report.head_sha256}")
