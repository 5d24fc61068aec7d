"""``patchmgr methods``: what can edit, and with which parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt

if TYPE_CHECKING:
    from patchmgr.methods.contract import Method


def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[METHOD]", help="One method with its parameters.", autocompletion=complete.methods),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """List the editing methods, or one with its parameters, defaults and ranges.

    \b
    Examples:
      patchmgr methods rome
    """
    from patchmgr.methods.loader import load_plugins

    plugins = load_plugins()
    chosen = [plugins.method(name)] if name else [plugins.methods[key] for key in sorted(plugins.methods)]
    if json:
        render.emit_json(
            {
                "methods": [
                    {
                        "name": method.name,
                        "version": method.version,
                        "kind": method.kind,
                        "paper": method.paper,
                        "needs": sorted(method.needs),
                        "parameters": method.parameters.model_json_schema(),
                    }
                    for method in chosen
                ]
            }
        )
    elif name:
        render.emit(_one(chosen[0]))
    else:
        rows = [[method.name, method.version, method.kind, method.paper] for method in chosen]
        render.emit(render.table(rows, ["METHOD", "VERSION", "KIND", "PAPER"]))


def _one(method: Method) -> str:
    rows = [
        [field, "" if info.default is None else info.default, info.description or ""]
        for field, info in method.parameters.model_fields.items()
    ]
    head = f"{method.name} {method.version} ({method.kind})\n{method.paper}\nneeds: {', '.join(sorted(method.needs))}"
    return f"{head}\n\n{render.table(rows, ['PARAMETER', 'DEFAULT', 'MEANING'])}"
