"""``patchmgr list``: the packages of the registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr_registry import PackageRecord


def list_packages(json: JsonOpt = False) -> None:
    """List the packages of the registry with their newest version.

    \b
    Examples:
      patchmgr list --json
    """
    with manager() as registry:
        packages = registry.list_packages()
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
    latest = asdict(package.latest)
    del latest["manifest"], latest["files"]
    return {"name": package.name, "n_versions": package.n_versions, "tags": dict(package.tags), "latest": latest}
