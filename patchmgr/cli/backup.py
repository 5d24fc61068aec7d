"""``patchmgr backup``: copy a whole registry while it is used."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager


def backup(
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE.tar", help="A new folder, or a new file ending in .tar.")],
    artefacts: Annotated[
        bool, typer.Option("--artefacts", help="Statistics too; they can be large, and can be made again.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also a registry that is damaged; the backup says what is wrong with it.")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Copy the registry with its packages, signatures, editors, events, trusted keys and withheld edits.

    Every byte is checked on the way. Bases are not copied, and generations are rebuilt from them by `patchmgr restore`.

    \b
    Examples:
      patchmgr backup /backups/patchmgr-2026-01-02
      patchmgr backup /backups/patchmgr.tar --artefacts
    """
    with manager(quiet=quiet) as registry:
        done = registry.backup(place, artefacts=artefacts, force=force, dry_run=dry_run)
    if json:
        render.emit_json({"backup": {**asdict(done), "place": str(done.place)}, "dry_run": dry_run})
        return
    digest = f" ({render.short(done.digest)})" if done.digest else ""
    verb = "would copy" if dry_run else "copied"
    lines = [f"{verb} {done.n_files} file(s), {render.size(done.size_bytes)}, to {done.place}{digest}"]
    render.emit("\n".join([*lines, *(f"the registry is damaged: {problem}" for problem in done.problems)]))
