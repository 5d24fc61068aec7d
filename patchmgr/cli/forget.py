"""``patchmgr forget``: erase a version's texts and payload, and keep its digest and the reason."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt, ReferenceArg
from patchmgr.cli.session import manager


def forget(
    reference: ReferenceArg,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, in a line; it stays, so it must not name the person.")
    ],
    revert: Annotated[bool, typer.Option("--revert", help="Take it off the models that have it first.")] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Erase a version: its edits, message, manifest, scores, files and every old generation made with it.

    Its name, number and digest stay, with who erased it, when and why; the audit trail still verifies. Its number is
    not given again, and its bytes are not taken in again. This cannot be undone.

    \b
    Examples:
      patchmgr forget fact-fixes@v2 --reason "erasure request 2026-114" --dry-run
      patchmgr forget fact-fixes@v2 --reason "erasure request 2026-114" --revert
    """
    with manager(quiet=quiet) as registry:
        done = registry.forget(reference, reason=reason, revert=revert, dry_run=dry_run)
    if json:
        render.emit_json({"forgotten": asdict(done), "dry_run": dry_run})
        return
    generations = ", ".join(f"{model} {number}" for model, number in done.generations) or "none"
    lines = [
        f"{'would forget' if dry_run else 'forgot'} {done.reference}: {done.n_edits} edit(s), {done.n_blobs} blob(s), "
        f"{render.size(done.freed_bytes)} ({render.short(done.digest)} and the reason stay)",
        f"generations cleared away: {generations}",
    ]
    lines += [f"reverted on {model}" for model in done.reverted]
    lines += [f"also gone: {trace}" for trace in done.traces]
    lines += [f"stays: {line}" for line in done.stays]
    render.emit("\n".join(lines))
