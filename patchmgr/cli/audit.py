"""``patchmgr audit``: who did what; below it, whether the record still holds and what an auditor asks of it."""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from patchmgr.cli import audit_check, audit_questions, complete, render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr_registry import Event, EventObject

_EVENTS = "events"
"""The command that is meant where none is named."""


class _AuditGroup(TyperGroup):
    """`audit prod` and `audit --limit 3` list events; `audit verify` and its siblings are commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See :class:`click.Group`."""
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = [_EVENTS, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="audit",
    cls=_AuditGroup,
    help="Show who did what to a model, when, and on which evidence: `audit MODEL`; and what auditors ask.",
)
app.command("verify")(audit_check.verify)
app.command("export")(audit_check.export)
app.command("anchor")(audit_check.anchor)
app.command("at")(audit_questions.at)
app.command("fact")(audit_questions.fact)
app.command("carriers")(audit_questions.carriers)
app.command("changes")(audit_questions.changes)


@app.command(_EVENTS)
def events(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Only about this model.", autocompletion=complete.models),
    ] = None,
    package: Annotated[
        str | None,
        typer.Option(
            "--package", "-p", metavar="REF", help="Only about name or name@v3.", autocompletion=complete.references
        ),
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="WHO", help="Only by this person or program.")] = None,
    action: Annotated[
        list[str] | None, typer.Option(metavar="ACTION", help="Only this, such as apply; repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="From 2026-01-02, or 2026-01-02T15:30, on (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="To its end.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the last ones.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print a table with every field, for other programs.")] = False,
    json: JsonOpt = False,
) -> None:
    """Show who did what, when, and on which evidence; `audit MODEL` is the same as `audit events MODEL`.

    \b
    Examples:
      patchmgr audit atlas
      patchmgr audit --package fact-fixes --since 2026-01-01 --until 2026-03-31 --csv
      patchmgr audit --action apply --action revert --actor ana
      patchmgr audit verify
    """
    from patchmgr.manager.audit.moments import begin_of, check_range, end_of
    from patchmgr_registry import EventFilter

    if csv and json:
        raise UsageError("--csv and --json exclude each other", hint="choose one")
    check_range(since, until)
    wanted = EventFilter(
        model=model,
        package=package,
        actor=actor,
        actions=tuple(action or ()),
        since=begin_of(since) if since else None,
        before=end_of(until) if until else None,
    )
    with manager() as registry:
        pages = registry.audit.pages(wanted, limit=limit)
        if json:
            render.emit_json_pages("events", ([event.to_json() for event in page] for page in pages))
        elif csv:
            render.emit_csv(_or_nothing(pages, _csv_row), _CSV)
        else:
            show(pages)


_CSV = ("sequence", "time", "actor", "host", "program_version", "action", "objects", "command", "result", "scores",
        "previous_sha256", "sha256")  # fmt: skip


def show(pages: Iterable[Sequence[Event]]) -> None:
    """Events as a table for people."""
    render.emit_table(_or_nothing(pages, _row), ["#", "WHEN (UTC)", "WHO", "ACTION", "WHAT", "HASH"])


def _or_nothing(pages: Iterable[Sequence[Event]], row: Any) -> Iterator[list[list[object]]]:
    """Rows of pages; one empty page where there is none, so that the header is printed."""
    is_empty = True
    for page in pages:
        is_empty = False
        yield [row(event) for event in page]
    if is_empty:
        yield []


def _row(event: Event) -> list[object]:
    return [
        event.sequence,
        render.moment(event.time),
        f"{event.actor}@{event.host}",
        event.action,
        _what(event),
        render.short(event.sha256),
    ]


def _csv_row(event: Event) -> list[object]:
    """A field a column; lists and objects as JSON."""
    value = event.to_json()
    return [
        json_module.dumps(value[name], ensure_ascii=False) if isinstance(value[name], list) else value[name]
        for name in _CSV
    ]


def _what(event: Event) -> str:
    """What an event is about; of a changed stack only what moved, and what was let pass: the event has the whole."""
    from patchmgr.manager.audit.past import MOVES

    hidden = ("package", "generation") if event.action in MOVES else ()
    return " ".join(_named(thing) for thing in event.objects if thing.kind not in hidden)


def _named(thing: EventObject) -> str:
    """An object in a few characters; of what kind it is where the action and the name do not tell."""
    digest = f"({render.short(thing.digest)})" if thing.digest else ""
    name = _DIGEST.sub(lambda found: render.short(found[0]), thing.name)
    if thing.kind == "conflict":
        return f"conflict({name})"
    if thing.kind in _SIGNS:
        return f"{_SIGNS[thing.kind]}{name}{digest}"
    return f"{thing.kind} {name}{digest}"


_SIGNS = {"added": "+", "removed": "-", **dict.fromkeys(("model", "package", "editor", "base", "remote"), "")}
_DIGEST = re.compile("[0-9a-f]{64}")
