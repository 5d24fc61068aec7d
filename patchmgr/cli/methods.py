"""``patchmgr methods``: what can edit, and with which parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt

if TYPE_CHECKING:
    from patchmgr.methods.contract import Method, MethodParameters
    from patchmgr.methods.loader import Plugins
    from patchmgr.methods.training import Trainer


def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[METHOD]", help="One method with its parameters.", autocompletion=complete.methods),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """List the editing methods, or one with its parameters and those of its training: defaults and meanings.

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
                        "training": _training_schema(plugins, method),
                    }
                    for method in chosen
                ]
            }
        )
    elif name:
        render.emit(_one(chosen[0], plugins.trainers.get(name)))
    else:
        rows = [[method.name, method.version, method.kind, method.paper] for method in chosen]
        render.emit(render.table(rows, ["METHOD", "VERSION", "KIND", "PAPER"]))


def _one(method: Method, trainer: Trainer | None) -> str:
    head = f"{method.name} {method.version} ({method.kind})\n{method.paper}\nneeds: {_needs(method)}"
    tables = [_table(method.parameters, "PARAMETER")]
    if trainer is not None:
        tables.append(_table(trainer.parameters, "OF TRAINING"))
    return "\n\n".join([head, *tables])


def _needs(method: Method) -> str:
    """In the words of the options; a trained artefact is what everything else calls an editor."""
    names = {"trained-artefact": "an editor (`patchmgr train`)"}
    return ", ".join(names.get(need, need) for need in sorted(method.needs)) or "nothing"


def _table(parameters: type[MethodParameters], head: str) -> str:
    rows = [
        [field, "" if info.default is None else info.default, info.description or ""]
        for field, info in parameters.model_fields.items()
    ]
    return render.table(rows, [head, "DEFAULT", "MEANING"])


def _training_schema(plugins: Plugins, method: Method) -> dict[str, Any] | None:
    """Of the parameters of training, where edits of the method use a trained editor."""
    trainer = plugins.trainers.get(method.name)
    return None if trainer is None else trainer.parameters.model_json_schema()
