"""``patchmgr push``: publish a version on the Hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt, PublicOpt, QuietOpt, ReferenceArg, RepoArg
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.sharing.push import Pushed


def push(
    reference: ReferenceArg,
    repo: RepoArg,
    public: PublicOpt = False,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request instead, for the owner to merge.")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Publish a version on the Hugging Face Hub: one commit, and a tag v3 that never moves.

    A version that is there already is left alone, and one of that number with other bytes is refused (exit 4).

    \b
    Examples:
      patchmgr push fact-fixes@v3 org/fact-fixes
      patchmgr push fact-fixes@v3 org/fact-fixes --public --dry-run
    """
    with manager(quiet=quiet) as registry:
        done = registry.push(reference, repo, private=not public, create_pr=create_pr, dry_run=dry_run)
    if done.is_signed and not done.signature_is_there:
        render.remark(
            f"{done.reference} was signed after it was published: sign first, then publish the next version",
            quiet=quiet,
        )
    if done.stays_private:
        render.remark(f"{done.publication.repo_id} is private and stays so; its settings are on its page", quiet=quiet)
    if done.publication.removed:
        gone, verb = ", ".join(done.publication.removed), "would go" if dry_run else "went"
        render.remark(f"files that {done.reference} does not have {verb}: {gone}", quiet=quiet)
    if json:
        publication = {**asdict(done.publication), "had": sorted(done.publication.had)}
        render.emit_json({"pushed": {**asdict(done), "publication": publication}, "dry_run": dry_run})
    else:
        render.emit(_text(done, dry_run=dry_run))


def _text(done: Pushed, *, dry_run: bool) -> str:
    there = done.publication
    if there.was_there:
        return f"{there.repo_id} has {done.reference} already: {there.url}"
    total = f"{len(done.files)} files, {render.size(sum(done.files.values()))}"
    beside = f"{', signed' if done.is_signed else ''}{', with a PEFT adapter' if done.has_adapter else ''}"
    if dry_run:
        made = "make the repository and " if there.is_new_repository else ""
        rows = [[name, render.size(size)] for name, size in done.files.items()]
        return (
            f"would {made}publish {done.reference} as {there.repo_id}@{there.tag}: {total}{beside}\n"
            f"{render.table(rows, ['FILE', 'SIZE'], right=[1])}"
        )
    if there.pull_request:
        return f"asked {there.repo_id} to take {done.reference}: {there.pull_request}"
    return f"published {done.reference} as {there.repo_id}@{there.tag}: {total}{beside}\n{there.url}"
