"""``patchmgr registry``: what is done to the registry as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt, QuietOpt

app = typer.Typer(name="registry", help="Move a registry's tables to another database.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``copy`` a word of its own while it is the only one."""


@app.command("copy")
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A home folder, or a database's URL.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="An empty database's URL, or a new home folder.")],
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Copy all tables, with the chain of events, into an empty database; everything or nothing, and checked.

    Blobs and generations stay in their home. Let nobody write meanwhile: what is written to FROM later is not in TO.

    \b
    Examples:
      patchmgr registry copy ~/.local/share/patchmgr postgresql://team@db/patchmgr
      patchmgr registry copy postgresql://team@db/patchmgr sqlite:////srv/backup/registry.db
    """
    from patchmgr.manager.registry_copy import copy_registry

    with render.progress_bar(quiet=quiet) as progress:
        copied = copy_registry(source, target, progress=progress)
    if json:
        head = {"sequence": copied.head.sequence, "sha256": copied.head.sha256}
        render.emit_json({"copied": {"rows": dict(copied.rows), "digests": dict(copied.digests), "head": head}})
        return
    render.emit(
        f"copied {copied.n_rows} row(s) of {len(copied.rows)} tables, read back and compared; "
        f"the chain of {copied.head.sequence} event(s) ends in {render.short(copied.head.sha256)} in both"
    )
