"""``patchmgr list``: the packages of the registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr_registry import PackageRecord


def list_packages(
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Only the first N.", min=1)] = None,
    json: JsonOpt = False,
) -> None:
    """List the packages of the registry by name, with their newest version.

    \b
    Examples:
      patchmgr list -n 20
      patchmgr list --json
    """
    with manager() as registry:
        packages = registry.list_packages(limit=limit)
    if json:
        render.emit_json({"packages": [_json(package) for package in packages]})
    elif not packages:
        render.emit("no packages; make one with `patchmgr edit`")
    else:
        rows = [
            [
                package.name,
                f"v{package.latest.number}",
                package.latest.method,
                package.latest.n_edits,
                render.size(package.latest.size_bytes),
                package.latest.created[:10],
                package.latest.message,
            ]
            for package in packages
        ]
        header = ["PACKAGE", "LATEST", "METHOD", "EDITS", "SIZE", "MADE", "MESSAGE"]
        render.emit(render.table(rows, header, right=[3, 4]))


def _json(package: PackageRecord) -> dict[str, Any]:
    return {
        "name": package.name,
        "n_versions": package.n_versions,
        "tags": dict(package.tags),
        "latest": asdict(package.latest),
    }
