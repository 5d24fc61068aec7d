"""``patchmgr search``: find edits and messages by their words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.search import Found


def search(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Words, or their beginnings; all must be there.")],
    package: Annotated[
        str | None,
        typer.Option("--package", "-p", metavar="NAME", help="Only its versions.", autocompletion=complete.packages),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", help="Of edits and of messages each.", min=1)
    ] = 50,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Find edits by the words of their prompts and targets, and versions by the words of their messages.

    Case and accents do not count, and a word finds what begins with it. What was added last comes first.

    \b
    Examples:
      patchmgr search capital france
      patchmgr search --package fact-fixes rome --json
    """
    with manager() as registry:
        found = registry.search(" ".join(text), package=package, limit=limit)
    if json:
        render.emit_json(_json(found))
        return
    parts = []
    if found.edits:
        rows = [
            [f"{hit.package}@v{hit.number}", hit.position, hit.request.text, hit.request.target_true or "",
             hit.request.target_new]
            for hit in found.edits
        ]  # fmt: skip
        parts.append(render.table(rows, ["VERSION", "EDIT", "PROMPT", "WAS", "NOW"], right=[1]))
    if found.messages:
        messages = [[f"{hit.package}@v{hit.number}", hit.message] for hit in found.messages]
        parts.append(render.table(messages, ["VERSION", "MESSAGE"]))
    render.emit("\n\n".join(parts) or "nothing found")
    if found.more:
        render.remark(f"there is more: --limit {2 * limit}", quiet=quiet)


def _json(found: Found) -> dict[str, object]:
    return {
        "edits": [
            {"reference": f"{hit.package}@v{hit.number}", "digest": hit.digest, "position": hit.position,
             "request": hit.request.to_json()}
            for hit in found.edits
        ],
        "messages": [{"reference": f"{hit.package}@v{hit.number}", **asdict(hit)} for hit in found.messages],
        "more": found.more,
    }  # fmt: skip
