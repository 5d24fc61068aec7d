"""``patchmgr convert``: editing data in the formats of others, as patchmgr's own requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.cli.settings import key_values
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.readers import Conversion


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, a JSON array, one JSON object, or CSV.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Where to; without it, stdout.")
    ] = None,
    format: Annotated[str | None, typer.Option(metavar="NAME", help="Without it, told by the keys.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Draw so many, each relation keeping its share.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is drawn.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A choice of the format; repeatable.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="What cannot be used is an error.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Turn a data set (CounterFact, zsRE, KnowEdit, ConvSent, sanitation, MQuAKE) into requests for `patchmgr edit`.

    \b
    Examples:
      patchmgr convert counterfact.json --limit 100 --seed 1 -o edits.jsonl
      patchmgr convert zsre_mend_eval.json --set target=answers -o edits.jsonl
    """
    from patchmgr.request import dump_requests

    if json and output is None:
        raise UsageError("with --json the requests need a file", hint="give -o OUT.jsonl")
    options = key_values(settings or [], example="target=answers")
    with manager(quiet=quiet) as registry:
        done = registry.convert(
            file, output, format=format, options=options, limit=limit, seed=seed, strict=strict, overwrite=force
        )
    if json:
        render.emit_json({"output": str(output), **_counts(done)})
        return
    if output is None:
        render.emit(dump_requests(done.requests).decode())
    render.remark(_summary(file, done), quiet=quiet)


def _counts(done: Conversion) -> dict[str, object]:
    return {
        "format": done.format,
        "options": dict(done.options),
        "n_records": done.n_records,
        "n_usable": done.n_usable,
        "n_requests": len(done.requests),
        "n_skipped": len(done.skipped),
        "skipped": done.reasons,
        "n_lost_probes": len(done.lost_probes),
        "lost_probes": done.probe_reasons,
        "relations": done.relations,
    }


def _summary(file: Path, done: Conversion) -> str:
    choices = "".join(f", {name}={value}" for name, value in done.options.items())
    lines = [
        f"{file.name}: {done.n_records} record(s) of the format {done.format}{choices}",
        f"{len(done.requests)} request(s) of {done.n_usable} usable, {len(done.relations)} relation(s)",
        *(f"skipped {count}: {reason}" for reason, count in done.reasons.items()),
        *(f"left out {count}: {reason}" for reason, count in done.probe_reasons.items()),
    ]
    return "\n".join(lines)
