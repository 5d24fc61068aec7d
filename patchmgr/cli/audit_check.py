"""``patchmgr audit verify``, ``export`` and ``anchor``: whether the record holds, here and on another machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.audit.chain_file import CheckedFile


def verify(
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Check an exported file; no registry is needed.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="PUB.pem|trusted", help="Whose signature the file must have; with --file."),
    ] = None,
    anchors: Annotated[
        list[str] | None,
        typer.Option("--anchor", metavar="FILE|hf://org/repo", help="Hashes that were noted elsewhere; repeatable."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Refuse a part of the chain, or one that an anchor lies behind; with --file."),
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Check every link of the chain; names the first event changed, removed, inserted or reordered (exit 6).

    \b
    Examples:
      patchmgr audit verify
      patchmgr audit verify --anchor /mnt/worm/anchors.jsonl
      patchmgr audit verify --file audit.jsonl --key trusted
    """
    from patchmgr.manager.audit.anchors import all_notes

    if key is not None and file is None:
        raise UsageError("--key goes with --file", hint="the registry itself is not signed; `audit export` signs")
    if whole and file is None:
        raise UsageError("--whole goes with --file", hint="the registry has the whole chain, and is checked so")
    notes = all_notes(anchors or ())
    if notes.n_unfinished:
        render.remark(f"{notes.n_unfinished} line(s) of the anchors were never finished, and say nothing")
    if file is not None:
        from patchmgr.manager.audit.chain_file import check_chain_file
        from patchmgr.manager.audit.signers import signers_named
        from patchmgr.manager.settings import load_settings

        signers = signers_named(key, load_settings().trust)
        checked = check_chain_file(
            file, noted=notes.noted, keys=signers.keys, must_be_signed=signers.required, must_be_whole=whole
        )
        _show_file(checked, json=json)
        return
    with manager() as registry:
        report = registry.audit.verify(notes.anchors)
    if json:
        render.emit_json({"audit": asdict(report)})
        return
    against = f", as {report.n_anchors} anchor(s) say" if notes.noted else ""
    render.emit(f"the chain holds: {report.n_events} event(s), head {report.head_sha256}{against}")


def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to; a new file.")],
    key: Annotated[Path | None, typer.Option("--key", metavar="KEY.pem", help="A private EC key to sign by.")] = None,
    first: Annotated[int, typer.Option("--from", metavar="N", min=1, help="The first event.")] = 1,
    last: Annotated[int | None, typer.Option("--to", metavar="N", min=1, help="The last event.")] = None,
    json: JsonOpt = False,
) -> None:
    """Write the chain to a file that `audit verify --file` checks on another machine.

    \b
    Examples:
      patchmgr audit export -o audit.jsonl --key key.pem
      patchmgr audit export -o january.jsonl --from 100 --to 250
    """
    with manager() as registry:
        done = registry.audit.export(output, key=key, first=first, last=last)
    if json:
        render.emit_json({"exported": asdict(done)})
        return
    signed = "signed" if done.is_signed else "not signed"
    render.emit(f"wrote events {done.head.first} to {done.head.last} to {done.file} ({signed})")


def anchor(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Add a line to this file.")
    ] = None,
    hub: Annotated[
        str | None, typer.Option("--hub", metavar="ORG/REPO", help="Commit a line to this repository of the Hub.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Note the chain's end elsewhere, so that a chain that is cut or recomputed later is found.

    \b
    Examples:
      patchmgr audit anchor
      patchmgr audit anchor -o /mnt/worm/anchors.jsonl
      patchmgr audit anchor --hub my-org/anchors
    """
    with manager() as registry:
        done = registry.audit.anchor(file=output, hub=hub)
    if json:
        render.emit_json({"anchor": asdict(done.anchor), "place": done.place})
        return
    where = "" if done.place is None else f", noted in {done.place}"
    render.emit(f"event {done.anchor.sequence} {done.anchor.sha256}{where}")


def _show_file(checked: CheckedFile, *, json: bool) -> None:
    head = checked.head
    if json:
        render.emit_json({"file": asdict(checked)})
        return
    if checked.signed_by:
        signer = f"signed by {checked.signed_by}"
    elif checked.key_id:
        signer = f"signed by the key sha256:{checked.key_id}, which is not trusted here: that proves nothing"
    else:
        signer = "not signed"
    rest = "" if head.last >= head.chain.sequence else f" of {head.chain.sequence}"
    lines = [f"the chain holds: events {head.first} to {head.last}{rest}, last {head.sha256}", signer]
    if checked.n_anchors:
        lines.append(f"as {checked.n_anchors} anchor(s) say")
    elif checked.n_outside:
        lines.append(f"none of the {checked.n_outside + checked.n_later} anchor(s) lies in this part")
    if checked.n_later:
        lines.append(
            f"{checked.n_later} anchor(s) lie behind its end: the chain has gone on since {head.exported[:19]}Z, or "
            "the file was cut; ask for a newer one (--whole refuses it)"
        )
    render.emit("\n".join(lines))
