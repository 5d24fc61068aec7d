"""``patchmgr pull``: take a version from the Hub into the registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager


def pull(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REPO[@VERSION]", help="org/name, with @v3, a range, a tag, a commit or @latest, the default."
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--for", metavar="MODEL", help="Refuse it before the download if it is for another.")
    ] = None,
    any_source: Annotated[
        bool,
        typer.Option("--any-source", help="Also where that name was made here or came from elsewhere."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also a package that was forgotten here (`patchmgr forget`).")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Take a version from the Hub into the registry, every byte checked against its manifest; or nothing of it.

    `patchmgr apply MODEL org/name@v3` pulls by itself, and `patchmgr show org/name@v3` tells what it is beforehand.

    \b
    Examples:
      patchmgr pull org/fact-fixes@v3
      patchmgr pull "org/fact-fixes@>=2,<4" --for llama-7b
    """
    with manager(quiet=quiet) as registry:
        done = registry.pull(reference, model=model, any_source=any_source, again=again, dry_run=dry_run)
    version = done.version
    if json:
        render.emit_json(
            {
                "pulled": {
                    "reference": version.reference,
                    "digest": version.digest,
                    "repo_id": done.repo_id,
                    "commit": done.commit,
                    "was_there": done.was_there,
                    "dry_run": dry_run,
                    "size_bytes": version.size_bytes,
                    "files": [asdict(file) for file in version.files],
                }
            }
        )
        return
    where = f"{done.repo_id} at {done.commit[:12]}"
    if done.was_there:
        render.emit(f"{version.reference} of {where} is here already ({render.short(version.digest)})")
    else:
        verb = "would pull" if dry_run else "pulled"
        render.emit(
            f"{verb} {version.reference} of {where}: {version.method}, {version.n_edits} edit(s), "
            f"{render.size(version.size_bytes)} ({render.short(version.digest)})"
        )
