"""``patchmgr log``: the history of a model or a package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr_registry import GenerationRecord, VersionRecord


def log(
    name: Annotated[
        str, typer.Argument(metavar="MODEL|NAME", help="A model or a package.", autocompletion=complete.models)
    ],
    json: JsonOpt = False,
) -> None:
    """Show the generations of a model, or the versions of a package, newest first.

    \b
    Examples:
      patchmgr log atlas
      patchmgr log fact-fixes
    """
    with manager() as registry:
        history = registry.log(name)
    if json:
        generations = [_generation_json(entry, history.references) for entry in history.generations]
        versions = [_version_json(entry) for entry in history.versions]
        render.emit_json({"name": name, "entries": generations or versions})
    elif history.generations:
        rows = [_generation(entry, history.references) for entry in history.generations]
        render.emit(render.table(rows, ["GEN", "WHEN", "ACTION", "STATE", "STACK", "MESSAGE"]))
    else:
        rows = [_version(entry) for entry in history.versions]
        render.emit(render.table(rows, ["VERSION", "WHEN", "METHOD", "DIGEST", "EDITS", "MESSAGE"]))


def _generation(entry: GenerationRecord, references: Mapping[str, str]) -> list[object]:
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


def _generation_json(entry: GenerationRecord, references: Mapping[str, str]) -> dict[str, Any]:
    packages = [{"reference": references.get(digest), "digest": digest} for digest in entry.packages]
    return {**asdict(entry), "packages": packages}


def _version_json(entry: VersionRecord) -> dict[str, Any]:
    value = asdict(entry)
    del value["manifest"], value["files"]
    return value


def _when(created: str) -> str:
    return created[:19].replace("T", " ")
