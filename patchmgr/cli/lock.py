"""``patchmgr lock``: from the versions that ``patches.toml`` allows to exactly one state, in ``patches.lock``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt, ProjectOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.lock.lock import Locked

_OUT_OF_DATE = 1


def lock(
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="Only this model.", autocompletion=complete.models),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Write both files from what this model is now.",
            autocompletion=complete.models,
        ),
    ] = None,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", "-U", help="Move to the newest versions that are allowed.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when the lock is out of date.")] = False,
    project: ProjectOpt = Path(),
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Choose the versions that patches.toml allows, and write them with every digest to patches.lock.

    What is locked stays while it is allowed, unless --upgrade is given. No model changes: that is `patchmgr sync`.

    \b
    Examples:
      patchmgr lock --from prod
      patchmgr lock --upgrade
      patchmgr lock --check
    """
    if source is not None and (model is not None or upgrade or check):
        raise UsageError("--from takes a model as it is", hint="leave --model, --upgrade and --check out")
    if check and (upgrade or dry_run):
        raise UsageError("--check asks about the lock as it is", hint="leave --upgrade and --dry-run out")
    with manager(quiet=quiet) as registry:
        if source is not None:
            done = registry.lock_from(project, source, write=not dry_run)
        else:
            done = registry.lock(project, model=model, upgrade=upgrade, write=not (check or dry_run))
    _show(done, "patches.lock" if source is None else "patches.toml and patches.lock", json=json)
    if check and done.changes:
        raise typer.Exit(_OUT_OF_DATE)


def _show(done: Locked, files: str, *, json: bool) -> None:
    if json:
        locked = done.lock.model_dump(mode="json", by_alias=True)
        render.emit_json({"changes": done.changes, "written": done.written, "lock": locked})
    elif done.changes:
        render.emit("\n".join([*done.changes, f"{files} written" if done.written else "nothing written"]))
    else:
        render.emit("patches.lock is up to date")
