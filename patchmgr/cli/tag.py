"""``patchmgr tag``: give versions names, list them, take them away."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.tags import TagChange


def tag(
    reference: Annotated[
        str | None,
        typer.Argument(metavar="[REF]", help="A version; with --list a package.", autocompletion=complete.references),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The tag, such as stable.")] = None,
    move: Annotated[bool, typer.Option("--move", help="Take the tag from the version that it is on.")] = False,
    delete: Annotated[
        str | None,
        typer.Option("--delete", "-d", metavar="NAME@TAG", help="Take a tag away.", autocompletion=complete.tags),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", "-l", help="List tags, which is also what no words do.")] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Tag a version, so that NAME@TAG means it; list tags; take one away.

    \b
    Examples:
      patchmgr tag fact-fixes@v3 stable
      patchmgr tag fact-fixes@v4 stable --move
      patchmgr tag --list fact-fixes
      patchmgr tag --delete fact-fixes@stable
    """
    if delete is not None and (reference is not None or listing or move):
        raise UsageError("--delete goes with nothing else", hint="patchmgr tag --delete NAME@TAG")
    if listing and (name is not None or move):
        raise UsageError("--list goes with a package at most", hint="patchmgr tag --list [PACKAGE]")
    if delete is None and not listing and reference is not None and name is None:
        raise UsageError("no tag is named", hint=f"patchmgr tag {reference} NAME, or patchmgr tag --list {reference}")
    with manager() as registry:
        if delete is not None:
            _show(registry.untag(delete, dry_run=dry_run), json=json)
        elif reference is not None and name is not None:
            _show(registry.tag(reference, name, move=move, dry_run=dry_run), json=json)
        else:
            found = registry.tags(reference)
            rows = [[f"{package}@{tag}", f"v{number}"] for package, has in found.items() for tag, number in has.items()]
            if json:
                render.emit_json({"tags": {package: dict(has) for package, has in found.items()}})
            else:
                render.emit(render.table(rows, ["TAG", "VERSION"]) if rows else "no tags")


def _show(change: TagChange, *, json: bool) -> None:
    name = f"{change.package}@{change.tag}"
    if json:
        render.emit_json({"tag": {**asdict(change), "changed": change.changed}})
    elif not change.changed:
        render.emit(f"{name} is v{change.version} already: nothing to do")
    elif change.version is None:
        render.emit(f"{name} was v{change.previous}, and is no tag any more")
    else:
        render.emit(f"{name} is v{change.version}{'' if change.previous is None else f', and was v{change.previous}'}")
