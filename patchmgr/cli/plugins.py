"""``patchmgr plugins``: what is loaded, and what failed to."""

from __future__ import annotations

from dataclasses import asdict

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt


def plugins(json: JsonOpt = False) -> None:
    """List the plugins that are installed, and why one did not load.

    \b
    Examples:
      PATCHMGR_LOAD_PLUGINS=rome patchmgr plugins
    """
    from patchmgr.methods.loader import load_plugins

    reports = load_plugins().reports
    if json:
        render.emit_json({"plugins": [asdict(report) for report in reports]})
    else:
        rows = [[report.name, report.status, report.module, report.distribution, report.reason] for report in reports]
        render.emit(render.table(rows, ["PLUGIN", "STATUS", "MODULE", "FROM", "REASON"]))
