"""``patchmgr restore``: put a backup in the place of an empty home."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt


def restore(
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE.tar", help="What `patchmgr backup` made.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where there is a registry; it is moved aside, and nothing is lost.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also a backup that says that its registry was damaged.")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make PATCHMGR_HOME what a backup says, every byte checked, and build each model's state again from its base.

    A registry that is there already is not touched, unless --replace moves it aside. Let nothing else use it meanwhile.

    \b
    Examples:
      patchmgr restore /backups/patchmgr.tar --dry-run
      PATCHMGR_HOME=/srv/patchmgr patchmgr restore /backups/patchmgr-2026-01-02
    """
    from patchmgr.manager.backup.restore import restore as put_back
    from patchmgr.manager.settings import load_settings

    with render.progress_bar(quiet=quiet) as progress:
        done = put_back(load_settings(), place, replace=replace, force=force, dry_run=dry_run, progress=progress)
    if json:
        aside = None if done.aside is None else str(done.aside)
        render.emit_json({"restored": {**asdict(done), "home": str(done.home), "aside": aside}, "dry_run": dry_run})
        return
    verb = "would restore" if dry_run else "restored"
    lines = [f"{verb} {done.home}: {done.n_files} file(s), {render.size(done.size_bytes)}, {done.events} event(s)"]
    lines += [f"its registry is damaged: {problem}" for problem in done.problems]
    lines += [] if done.aside is None else [f"what was there lies in {done.aside}"]
    lines += [
        f"{model.model}: generation {model.generation}, {render.short(model.state_root)}"
        if model.trouble is None
        else f"{model.model}: generation {model.generation} is not built: {model.trouble}"
        for model in done.models
    ]
    render.emit("\n".join(lines))
