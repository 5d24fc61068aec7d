"""``patchmgr search``: find edits and messages by their words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchmgr.hub.search import FoundRepository
    from patchmgr.manager.search import Found


def search(
    text: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Words, or their beginnings; all must be there.")
    ] = None,
    package: Annotated[
        str | None,
        typer.Option("--package", "-p", metavar="NAME", help="Only its versions.", autocompletion=complete.packages),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", help="Of edits and of messages each.", min=1)
    ] = 50,
    remote: Annotated[bool, typer.Option("--remote", help="Find packages on the Hub instead.")] = False,
    base: Annotated[str | None, typer.Option(metavar="ID", help="With --remote: made for this base.")] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="M", help="With --remote: made by this method.", autocompletion=complete.methods),
    ] = None,
    author: Annotated[str | None, typer.Option(metavar="WHO", help="With --remote: of this user or team.")] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Find edits by the words of their prompts and targets, and versions by the words of their messages.

    Case and accents do not count, and a word finds what begins with it. What was added last comes first.

    \b
    Examples:
      patchmgr search capital france
      patchmgr search --package fact-fixes rome --json
      patchmgr search --remote --base openai-community/gpt2-xl facts
    """
    if remote:
        if package is not None:
            raise UsageError("--package and --remote exclude each other", hint="name what to look for on the Hub")
        with manager() as registry:
            there = registry.search_hub(" ".join(text or ()), base=base, method=method, author=author, limit=limit)
        _show_remote(there, json=json)
        return
    if not text or base or method or author:
        raise UsageError(
            "there is nothing to look for" if not text else "--base, --method and --author go with --remote",
            hint="patchmgr search WORDS, or patchmgr search --remote",
        )
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


def _show_remote(found: Sequence[FoundRepository], *, json: bool) -> None:
    if json:
        render.emit_json({"repositories": [asdict(repository) for repository in found]})
        return
    rows = [
        [one.repo_id, ", ".join(one.bases) or "-", ", ".join(one.tags) or "-", one.downloads, one.changed or "-"]
        for one in found
    ]
    header = ["REPOSITORY", "BASE", "TAGS", "DOWNLOADS", "CHANGED"]
    render.emit(render.table(rows, header, right=[3]) if rows else "nothing found")


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
