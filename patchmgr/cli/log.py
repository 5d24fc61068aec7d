"""``patchmgr log``: the history of a model or a package."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager
from patchmgr_registry import GenerationRecord

if TYPE_CHECKING:
    from patchmgr_registry import VersionRecord


def log(
    name: Annotated[
        str, typer.Argument(metavar="MODEL|NAME", help="A model or a package.", autocompletion=complete.models)
    ],
    json: JsonOpt = False,
) -> None:
    """Show the generations of a model, or the versions of a package, newest first.

    Examples:
      patchmgr log atlas
      patchmgr log fact-fixes
    """
    with manager() as registry:
        entries = registry.log(name)
        references = {
            digest: version.reference
            for entry in entries
            if isinstance(entry, GenerationRecord)
            for digest in entry.packages
            if (version := registry.registry.version_by_digest(digest)) is not None
        }
    if json:
        render.emit_json({"name": name, "entries": [_json(entry, references) for entry in entries]})
        return
    rows = [
        _generation(entry, references) if isinstance(entry, GenerationRecord) else _version(entry) for entry in entries
    ]
    models = isinstance(entries[0], GenerationRecord)
    header = ["GEN", "WHEN", "ACTION", "STATE", "STACK", "MESSAGE"]
    render.emit(render.table(rows, header if models else ["VERSION", "WHEN", "METHOD", "DIGEST", "EDITS", "MESSAGE"]))


def _generation(entry: GenerationRecord, references: dict[str, str]) -> list[object]:
    stack = ", ".join(references.get(digest, digest[:12]) for digest in entry.packages) or "(base)"
    action = entry.action if entry.status == "ready" else f"{entry.action} ({entry.status})"
    return [entry.number, _when(entry.created), action, render.short(entry.state_root or "-"), stack, entry.message]


def _version(entry: VersionRecord) -> list[object]:
    return [
        f"v{entry.number}",
        _when(entry.created),
        entry.method,
        render.short(entry.digest),
        entry.n_edits,
        entry.message,
    ]


def _json(entry: GenerationRecord | VersionRecord, references: dict[str, str]) -> dict[str, Any]:
    value = asdict(entry)
    if isinstance(entry, GenerationRecord):
        value["packages"] = [{"reference": references.get(d), "digest": d} for d in entry.packages]
    else:
        del value["manifest"], value["files"]
    return value


def _when(created: str) -> str:
    return created[:19].replace("T", " ")
