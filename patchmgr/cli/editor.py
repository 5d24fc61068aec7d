"""``patchmgr editor``: trained editors listed, shown, shared and forgotten."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt, PublicOpt, QuietOpt, RepoArg
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr_registry import EditorRecord

app = typer.Typer(
    name="editor", help="List and share trained editors; `patchmgr train` makes them.", no_args_is_help=True
)
EditorArg = Annotated[
    str,
    typer.Argument(metavar="EDITOR", help="name, name@v3 or name@sha256:…", autocompletion=complete.editors),
]
FolderArg = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of an editor.")]
NewFolderArg = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]


@app.command("list")
def list_editors(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only its versions.")] = None,
    json: JsonOpt = False,
) -> None:
    """List the editors that are there."""
    with manager() as registry:
        editors = registry.editors.list(name)
    if json:
        render.emit_json({"editors": [_json(editor) for editor in editors]})
        return
    rows = [
        [each.reference, each.method, render.size(each.size_bytes), each.created[:10], render.short(each.digest)]
        for each in editors
    ]
    header = ["EDITOR", "METHOD", "SIZE", "CREATED", "DIGEST"]
    render.emit(render.table(rows, header, right=[2]) if rows else "no editors; make one with `patchmgr train`")


@app.command("show")
def show(reference: EditorArg, json: JsonOpt = False) -> None:
    """Show what an editor learned from, with which parameters, and how good it was on its validation data."""
    with manager() as registry:
        manifest = registry.editors.show(reference)
    if json:
        render.emit_json({"editor": {"digest": manifest.digest, **manifest.model_dump(mode="json")}})
        return
    lines = [
        f"editor     {manifest.reference}",
        f"digest     sha256:{manifest.digest}",
        f"method     {manifest.method} {manifest.method_version}, seed {manifest.seed}",
        f"base       {render.line(manifest.base.source)} ({render.short(manifest.base.fingerprint)}…)",
        f"data       {manifest.training.n} requests, {manifest.validation.n} to validate",
        f"steps      {manifest.steps}",
        f"author     {render.line(manifest.author)}, {manifest.created}",
    ]
    if manifest.message:
        lines.append(f"message    {render.line(manifest.message)}")
    figures = [[name, f"{value:.4f}"] for name, value in manifest.figures.items()]
    parameters = [[name, value] for name, value in manifest.parameters.items()]
    tables = [
        render.table(figures, ["VALIDATION", "VALUE"], right=[1]),
        render.table(parameters, ["PARAMETER", "VALUE"]),
    ]
    render.emit("\n".join(lines) + "\n\n" + "\n\n".join(tables))


@app.command("export")
def export(reference: EditorArg, folder: NewFolderArg, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Write an editor to a new folder, for others.

    \b
    Examples:
      patchmgr editor export scope@v1 ./scope
    """
    with manager(quiet=quiet) as registry:
        editor = registry.editors.export(reference, folder)
    _say(editor, f"wrote {editor.reference}, {render.size(editor.size_bytes)}: {folder}", json=json)


@app.command("import")
def import_folder(
    folder: FolderArg, dry_run: DryRunOpt = False, json: JsonOpt = False, quiet: QuietOpt = False
) -> None:
    """Take in an editor that others exported; a damaged one is refused (exit 6).

    \b
    Examples:
      patchmgr editor import ./scope
    """
    with manager(quiet=quiet) as registry:
        editor = registry.editors.import_folder(folder, dry_run=dry_run)
    verb = "would take in" if dry_run else "took in"
    _say(editor, f"{verb} {editor.reference}, {render.size(editor.size_bytes)}", json=json, dry_run=dry_run)


@app.command("push")
def push(
    reference: EditorArg,
    repo: RepoArg,
    public: PublicOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Publish an editor on the Hub, as `patchmgr push` publishes a package.

    \b
    Examples:
      patchmgr editor push scope@v1 org/scope
    """
    with manager(quiet=quiet) as registry:
        done = registry.editors.push(reference, repo, private=not public)
    if json:
        render.emit_json({"published": asdict(done)})
    else:
        render.emit(f"{'it is there already' if done.was_there else 'published'}: {done.url}")


@app.command("pull")
def pull(
    reference: Annotated[str, typer.Argument(metavar="REPO[@VERSION]", help="org/name, with @v3 or another version.")],
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Take an editor from the Hub, every byte checked.

    \b
    Examples:
      patchmgr editor pull org/scope@v1
    """
    with manager(quiet=quiet) as registry:
        editor = registry.editors.pull(reference)
    _say(editor, f"{editor.reference} is here, {render.size(editor.size_bytes)}", json=json)


@app.command("remove")
def remove(reference: EditorArg, dry_run: DryRunOpt = False, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Forget one version of an editor; what it made stays, and `patchmgr gc` clears its files away."""
    with manager(quiet=quiet) as registry:
        editor = registry.editors.remove(reference, dry_run=dry_run)
    _say(editor, f"{'would remove' if dry_run else 'removed'} {editor.reference}", json=json, dry_run=dry_run)


def _say(editor: EditorRecord, text: str, *, json: bool, **more: Any) -> None:
    if json:
        render.emit_json({"editor": _json(editor), **more})
    else:
        render.emit(text)


def _json(editor: EditorRecord) -> dict[str, Any]:
    return {
        "reference": editor.reference,
        "digest": editor.digest,
        "method": editor.method,
        "size_bytes": editor.size_bytes,
        "created": editor.created,
    }
