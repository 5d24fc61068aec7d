"""``patchmgr show``: everything known of one package version."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt, QuietOpt, ReferenceArg
from patchmgr.cli.scores import later_lines, score_lines
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.show import Edits, PackageView
    from patchmgr.package.manifest import MemoryRecord
    from patchmgr_registry import ForgottenRecord

_SHOWN_EDITS = 10


def show(
    reference: ReferenceArg,
    edits: Annotated[bool, typer.Option("--edits", help="Print the requests as JSON lines.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", help="With --edits: at most so many.", min=1)
    ] = None,
    offset: Annotated[int, typer.Option("--offset", metavar="N", help="With --edits: leave out the first.", min=0)] = 0,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Show a package: who made it, what it says, what it touches, how it scored. Every byte is checked.

    \b
    Examples:
      patchmgr show fact-fixes@v1
      patchmgr show fact-fixes@v1 --edits > edits.jsonl
      patchmgr show fact-fixes@v1 --edits --offset 100 --limit 100 --json
    """
    if (limit is not None or offset) and not edits:
        raise UsageError("--limit and --offset go with --edits", hint=f"patchmgr show {reference} --edits")
    if edits:
        with manager() as registry:
            _show_edits(registry.show_edits(reference, offset=offset, limit=limit), json=json, quiet=quiet)
        return
    with manager() as registry:
        forgotten = registry.forgotten(reference)
        if forgotten is not None:
            _show_forgotten(forgotten, json=json)
            return
        view = registry.show(reference)
    if json:
        render.emit_json(
            {
                "manifest": view.manifest.model_dump(mode="json"),
                "digest": view.manifest.digest,
                "size_bytes": view.size_bytes,
                "scores": [score.to_json() for score in view.scores],
                "measured_later": [asdict(score) for score in view.later],
                "tags": view.tags,
                "applied_to": view.applied_to,
                "signature": view.signature,
            }
        )
    else:
        render.emit(_text(view))


def _show_forgotten(record: ForgottenRecord, *, json: bool) -> None:
    if json:
        render.emit_json({"forgotten": {"reference": record.reference, **asdict(record)}})
        return
    lines = [
        ["package", f"{record.reference}  (forgotten: its texts and payload were erased)"],
        ["digest", record.digest],
        ["forgotten", f"{record.time} by {record.actor}"],
        ["reason", record.reason],
        ["was", f"{record.n_edits} edit(s) by {record.method}"],
    ]
    render.emit(render.fields(lines, 12))


def _show_edits(found: Edits, *, json: bool, quiet: bool) -> None:
    requests = [request.to_json() for request in found.requests]
    if json:
        head = {"reference": found.reference, "n_edits": found.n_edits, "offset": found.offset}
        render.emit_json({**head, "edits": requests})
        return
    if requests:
        render.emit("\n".join(jsonlib.dumps(request, ensure_ascii=False, sort_keys=True) for request in requests))
    left = found.n_edits - found.offset - len(requests)
    if found.n_edits and not requests and not found.offset:
        render.remark(f"the author of {found.reference} withheld its {found.n_edits} edit(s)", quiet=quiet)
    elif left > 0:
        render.remark(f"and {left} more: --offset {found.offset + len(requests)}", quiet=quiet)


def _memory(memory: MemoryRecord) -> str:
    base = "any base" if memory.level == "text" else "its own base only"
    return f"{memory.n_entries} entries, answered by {memory.runtime}, for {base}"


def _text(view: PackageView) -> str:
    manifest = view.manifest
    parent = f"on {len(manifest.parent.packages)} package(s)" if manifest.parent.packages else "on the pristine base"
    head = [
        ["package", f"{manifest.reference}  ({render.size(view.size_bytes)})"],
        ["digest", manifest.digest],
        ["made", f"{manifest.created} by {manifest.author}"],
        ["message", manifest.message or "-"],
        ["method", f"{manifest.method.name} {manifest.method.version}, seed {manifest.method.seed}"],
        ["base", f"{manifest.base.source} ({render.short(manifest.base.fingerprint)}), {parent}"],
        *([["memory", _memory(manifest.memory)]] if manifest.memory else []),
        ["tags", ", ".join(view.tags) or "-"],
        ["applied to", ", ".join(view.applied_to) or "-"],
        ["signature", view.signature],
    ]
    edits = [[request.text, request.target_true or "", request.target_new] for request in view.requests[:_SHOWN_EDITS]]
    tensors = [
        [tensor.name, tensor.dtype, "×".join(map(str, tensor.shape)), tensor.encoding] for tensor in manifest.tensors
    ]
    more = manifest.n_edits - _SHOWN_EDITS
    return "\n\n".join(
        [
            render.fields(head, 12),
            render.table(edits, ["PROMPT", "WAS", "NOW"]) + (f"\n… and {more} more: --edits" if more > 0 else ""),
            *([render.table(tensors, ["TENSOR", "DTYPE", "SHAPE", "ENCODING"])] if tensors else []),
            score_lines(view.scores),
            *([later_lines(view.later)] if view.later else []),
        ]
    )
