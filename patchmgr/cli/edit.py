"""``patchmgr edit``: make the next version of a package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import CorpusOpt, DryRunOpt, JsonOpt, MessageOpt, ModelArg, QuietOpt
from patchmgr.cli.scores import score_lines
from patchmgr.cli.session import manager
from patchmgr.cli.settings import key_values
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.edit import EditPreview
    from patchmgr.readers import Conversion
    from patchmgr.request import EditRequest


def edit(
    model: ModelArg,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="How the package is called.")],
    method: Annotated[
        str, typer.Option("--method", metavar="M", help="See `patchmgr methods`.", autocompletion=complete.methods)
    ] = "rome",
    edits: Annotated[
        Path | None, typer.Option("--edits", metavar="FILE", help="JSON lines, or a data set as `convert` reads it.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="One edit: the prompt, {} for the subject.")] = None,
    subject: Annotated[str | None, typer.Option(help="One edit: the subject.")] = None,
    target: Annotated[str | None, typer.Option(help="One edit: what the model shall say.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the method; repeatable.")
    ] = None,
    on: Annotated[
        Literal["current", "base"], typer.Option(help="Edit the current state, or the base whatever is applied.")
    ] = "current",
    seed: Annotated[int, typer.Option(help="Decides what is sampled.")] = 0,
    corpus: CorpusOpt = None,
    license: Annotated[str | None, typer.Option(metavar="SPDX", help="Licence of the package.")] = None,
    message: MessageOpt = "",
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make the next version of a package: run a method, measure the result, store it. The model stays as it is.

    \b
    Examples:
      patchmgr edit atlas --name fact-fixes --method rome --edits edits.jsonl -m "capital moved"
      patchmgr edit atlas --name paris --prompt "The capital of {} is" --subject France --target Lyon
    """
    from patchmgr.manager.workpiece import EditOrder

    single = _single(prompt, subject, target, from_file=edits is not None)
    parameters = key_values(settings or [], example="layer=3")
    with manager(quiet=quiet) as registry:
        order = EditOrder(
            name=name,
            method=method,
            requests=single if edits is None else _from_file(registry.convert(edits), edits, quiet=quiet),
            parameters=parameters,
            message=message,
            on=on,
            seed=seed,
            corpus=corpus,
            license=license,
        )
        if dry_run:
            preview = registry.check_edit(model, order)
            _remark_subjects(preview.found_subjects, quiet=quiet)
            _preview(preview, json=json)
            return
        result = registry.edit(model, order)
    _remark_subjects(result.found_subjects, quiet=quiet)
    version = result.version
    if json:
        scores = [score.model_dump(mode="json") for score in result.scores]
        render.emit_json(
            {
                "reference": version.reference,
                "digest": version.digest,
                "size_bytes": version.size_bytes,
                "scores": scores,
            }
        )
        return
    render.emit(
        f"{version.reference}  {version.n_edits} edit(s), {render.size(version.size_bytes)}, {version.digest[:12]}"
    )
    render.emit(score_lines(result.scores))
    render.remark(f"next: patchmgr apply {model} {version.reference}", quiet=quiet)


def _remark_subjects(found: tuple[str, ...], *, quiet: bool) -> None:
    if found:
        some = ", ".join(repr(subject) for subject in found[:5])
        render.remark(f"{len(found)} subject(s) found in the prompts: {some}{', …' if found[5:] else ''}", quiet=quiet)


def _preview(preview: EditPreview, *, json: bool) -> None:
    if json:
        render.emit_json({"preview": asdict(preview)})
        return
    values = ", ".join(f"{name}={value}" for name, value in preview.parameters.items())
    render.emit(
        f"would make {preview.reference}: {preview.n_edits} edit(s) by {preview.method} "
        f"on {', '.join(preview.on) or 'the base'}\n{values}"
    )


def _single(prompt: str | None, subject: str | None, target: str | None, *, from_file: bool) -> tuple[EditRequest, ...]:
    """The edit on the command line; nothing when there is a file."""
    from patchmgr.request import parse_request

    given = {"prompt": prompt, "subject": subject, "target_new": target}
    given = {key: value for key, value in given.items() if value is not None}
    if from_file and given:
        raise UsageError("--edits and --prompt exclude each other", hint="put the edit into the file")
    if from_file:
        return ()
    if prompt is None or target is None:
        raise UsageError("nothing to edit is given", hint="give --edits FILE, or --prompt, --subject and --target")
    return (parse_request(given, where="--prompt"),)


def _from_file(read: Conversion, path: Path, *, quiet: bool) -> tuple[EditRequest, ...]:
    """The requests of a file; whatever of it could not be used is remarked on."""
    left_out = {**read.reasons, **read.probe_reasons}
    for reason, count in left_out.items():
        render.remark(f"{path.name}: left out {count}: {reason}", quiet=quiet)
    return read.requests
