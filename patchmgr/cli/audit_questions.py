"""``patchmgr audit at``, ``fact``, ``carriers`` and ``changes``: questions of an auditor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, ModelArg, QuietOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patchmgr.manager.audit.between import ModelChange
    from patchmgr.manager.audit.carriers import Carrier
    from patchmgr.manager.audit.facts import Fact, Origin
    from patchmgr.manager.audit.past import PastState
    from patchmgr_registry import Event, EventObject


def at(
    model: ModelArg,
    when: Annotated[str, typer.Argument(metavar="DATE", help="2026-01-02 (its end) or 2026-01-02T15:30, in UTC.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write that state, byte for byte.")
    ] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Say what a model was on a date, and build it again.

    \b
    Examples:
      patchmgr audit at prod 2026-01-02
      patchmgr audit at prod 2026-01-02T15:30 -o ./as-it-was
    """
    with manager(quiet=quiet) as registry:
        past = registry.audit.at(model, when)
        written = None if output is None else registry.audit.rebuild(past, output)
    if json:
        folder = None if written is None else str(written.folder)
        render.emit_json({"state": _state_json(past), "folder": folder})
        return
    until = "now" if past.until is None else f"event {past.until.sequence}, {_when(past.until)}"
    lines = [
        f"{model} on {when}: generation {past.generation}, state {past.state_root}",
        f"base   {past.base.name} ({past.base.digest})",
        *(f"stack  {thing.name} ({thing.digest})" for thing in past.stack),
        f"since  event {past.event.sequence}, {_when(past.event)}: {past.event.action} by {_who(past.event)}",
        f"until  {until}",
    ]
    if written is not None:
        lines.append(f"wrote  {written.folder}, the same state root")
    render.emit("\n".join(lines))


def fact(
    text: Annotated[list[str], typer.Argument(metavar="TEXT|REF", help="Words of the fact, or name@v3.")],
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="Of edits, at most.")] = 20,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Say who put a fact in, on which scores, and which models have it since when.

    For what a model answers, and which package is behind it, see `patchmgr blame`.

    \b
    Examples:
      patchmgr audit fact capital france
      patchmgr audit fact fact-fixes@v3
    """
    with manager() as registry:
        found = registry.audit.fact(" ".join(text), limit=limit)
    if json:
        render.emit_json({"facts": [_fact_json(one) for one in found.facts], "more": found.more})
        return
    render.emit("\n\n".join("\n".join(_fact_lines(one)) for one in found.facts))
    if found.more:
        render.remark(f"there is more: --limit {2 * limit}", quiet=quiet)


def carriers(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF", help="name for any version, name@v3, name@sha256:…", autocompletion=complete.references
        ),
    ],
    past: Annotated[bool, typer.Option("--past", help="Also models that carry it no more.")] = False,
    json: JsonOpt = False,
) -> None:
    """List the models that carry a package, and since when.

    \b
    Examples:
      patchmgr audit carriers fact-fixes
      patchmgr audit carriers fact-fixes@v3 --past
    """
    with manager() as registry:
        found = registry.audit.carriers(reference, past=past)
    if json:
        render.emit_json({"carriers": [_carrier_json(one) for one in found]})
        return
    rows = [
        [one.model, one.reference, _when(one.since), _who(one.since), one.since.sequence,
         _when(one.until) if one.until else "now"]
        for one in found
    ]  # fmt: skip
    header = ["MODEL", "VERSION", "SINCE (UTC)", "BY", "EVENT", "UNTIL"]
    render.emit(render.table(rows, header, right=[4]) if rows else f"no model carries {reference}")


def changes(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Only this one.", autocompletion=complete.models)
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="From the beginning of this day or moment.")] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="To the end of this day or moment.")] = None,
    json: JsonOpt = False,
) -> None:
    """Say what changed between two dates: each model before and after, then every event.

    \b
    Examples:
      patchmgr audit changes --since 2026-01-01 --until 2026-03-31
      patchmgr audit changes prod --since 2026-01-01T09:00
    """
    from patchmgr.cli.audit import show

    with manager() as registry:
        found = registry.audit.changes(since=since, until=until, model=model)
        if json:
            events = [event.to_json() for page in found.events for event in page]
            render.emit_json({"models": [_change_json(change) for change in found.models], "events": events})
            return
        header = ["MODEL", "WAS", "IS", "CHANGES"]
        rows = [
            [one.model, _brief(one.before), _brief(one.after), _moved(one.added, one.removed)] for one in found.models
        ]
        render.emit(render.table(rows, header) if rows else "no model is another at the end than at the beginning")
        render.emit("")
        show(found.events)


def _brief(state: PastState | None) -> str:
    return "-" if state is None else f"generation {state.generation}, {render.short(state.state_root)}"


def _moved(added: Iterable[EventObject], removed: Iterable[EventObject]) -> str:
    return " ".join([*(f"+{thing.name}" for thing in added), *(f"-{thing.name}" for thing in removed)])


def _when(event: Event) -> str:
    return render.moment(event.time)


def _who(event: Event) -> str:
    return render.line(f"{event.actor}@{event.host}")


def _fact_lines(one: Fact) -> list[str]:
    origin, version = one.origin, one.origin.version
    says = "(edits withheld)" if one.request is None else f"{one.request.text} → {one.request.target_new}"
    scores = ", ".join(_score(score) for score in origin.scores if score.get("phase") == "after")
    return [
        f"{version.reference} edit {one.position}: {render.line(says)}",
        f"  made by     {render.line(version.author)}, {render.moment(version.created)}, {version.method}: "
        f"{render.line(version.message or '-')}",
        f"  brought in  {_event_line(origin.event)}",
        f"  scores      {scores or 'none'}",
        *(f"  measured    {_event_line(event)}" for event in origin.measured),
        *(f"  applied     {one.model}: {_event_line(one.since)}" for one in origin.carriers),
        *([] if origin.carriers else ["  applied     nowhere now; see `patchmgr audit carriers --past`"]),
    ]


def _score(score: Any) -> str:
    return f"{score['metric']} {score['value']:.3g}"


def _event_line(event: Event | None) -> str:
    return (
        "no event says so"
        if event is None
        else f"event {event.sequence}, {_when(event)}: {event.action} by {_who(event)}"
    )


def _state_json(state: PastState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        "model": state.model,
        "generation": state.generation,
        "state_root": state.state_root,
        "base": state.base.to_json(),
        "stack": [thing.to_json() for thing in state.stack],
        "event": state.event.to_json(),
        "until": None if state.until is None else state.until.to_json(),
    }


def _change_json(change: ModelChange) -> dict[str, Any]:
    return {
        "model": change.model,
        "before": _state_json(change.before),
        "after": _state_json(change.after),
        "added": [thing.to_json() for thing in change.added],
        "removed": [thing.to_json() for thing in change.removed],
    }


def _carrier_json(one: Carrier) -> dict[str, Any]:
    until = None if one.until is None else one.until.to_json()
    return {"model": one.model, "reference": one.reference, "digest": one.digest, "since": one.since.to_json(),
            "until": until}  # fmt: skip


def _fact_json(one: Fact) -> dict[str, Any]:
    origin = one.origin
    return {**_origin_json(origin), "position": one.position,
            "request": None if one.request is None else one.request.to_json()}  # fmt: skip


def _origin_json(origin: Origin) -> dict[str, Any]:
    version = asdict(origin.version)
    for field in ("manifest", "files", "parent_packages"):
        del version[field]
    return {
        "reference": origin.version.reference,
        "version": version,
        "event": None if origin.event is None else origin.event.to_json(),
        "measured": [event.to_json() for event in origin.measured],
        "carriers": [_carrier_json(carrier) for carrier in origin.carriers],
    }
