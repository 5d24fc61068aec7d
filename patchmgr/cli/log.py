"""``patchmgr log``: the history of a model or a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.log_graph import graph_lines
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.log import History
    from patchmgr_registry import GenerationRecord, VersionSummary


def log(
    name: Annotated[
        str, typer.Argument(metavar="MODEL|NAME", help="A model or a package.", autocompletion=complete.subjects)
    ],
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Only the newest N.", min=1)] = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw where rollbacks went back to, and parents of versions.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Show the generations of a model, or the versions of a package, newest first.

    \b
    Examples:
      patchmgr log atlas
      patchmgr log atlas --graph
      patchmgr log fact-fixes -n 10
    """
    with manager() as registry:
        if graph and not json:
            lines = graph_lines(registry.log(name))
            render.emit("\n".join(lines[:limit]))
        elif json:
            render.emit_json({"name": name, "entries": _json(registry.log(name, limit=limit))})
        else:
            _show(registry.log_pages(name, limit=limit))


def _show(pages: Iterator[History]) -> None:
    """Print page by page, as a reader such as ``less`` or ``head`` takes it."""
    first = next(pages)
    whole = chain([first], pages)
    if first.generations:
        header = ["GEN", "WHEN", "ACTION", "STATE", "STACK", "SCORES", "MESSAGE"]
        render.emit_table(([_generation(entry, page) for entry in page.generations] for page in whole), header)
    else:
        header = ["VERSION", "WHEN", "METHOD", "DIGEST", "EDITS", "SCORES", "MESSAGE"]
        render.emit_table(([_version(entry, page) for entry in page.versions] for page in whole), header)


def _json(history: History) -> list[dict[str, Any]]:
    generations = [
        {**_generation_json(entry, history.references), "scores": history.scores.get(entry.state_root or "", {})}
        for entry in history.generations
    ]
    versions = [{**_version_json(entry), "scores": history.scores.get(entry.digest, {})} for entry in history.versions]
    return generations or versions


def _generation(entry: GenerationRecord, page: History) -> list[object]:
    stack = ", ".join(page.references.get(digest, digest[:12]) for digest in entry.packages) or "(base)"
    action = entry.action if entry.status == "ready" else f"{entry.action} ({entry.status})"
    root, scores = render.short(entry.state_root or "-"), _scores(page.scores.get(entry.state_root or ""))
    return [entry.number, render.moment(entry.created), action, root, stack, scores, entry.message]


def _version(entry: VersionSummary, page: History) -> list[object]:
    return [
        f"v{entry.number}",
        render.moment(entry.created),
        entry.method,
        render.short(entry.digest),
        entry.n_edits,
        _scores(page.scores.get(entry.digest)),
        entry.message,
    ]


def _scores(found: Mapping[str, float] | None) -> str:
    """The main metrics after the edit, such as ``rel 1.00 gen 0.95 loc 0.94``."""
    return " ".join(f"{name[:3]} {value:.2f}" for name, value in (found or {}).items())


def _generation_json(entry: GenerationRecord, references: Mapping[str, str]) -> dict[str, Any]:
    packages = [{"reference": references.get(digest), "digest": digest} for digest in entry.packages]
    return {**asdict(entry), "packages": packages}


def _version_json(entry: VersionSummary) -> dict[str, Any]:
    return asdict(entry)
