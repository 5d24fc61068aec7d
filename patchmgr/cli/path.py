"""``patchmgr path``: where a model's current state lies."""

from __future__ import annotations

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt, ModelArg
from patchmgr.cli.session import manager


def path(model: ModelArg, json: JsonOpt = False) -> None:
    """Print the folder of a model's current state: an ordinary checkpoint that any tool loads.

    \b
    Examples:
      vllm serve "$(patchmgr path llama-7b)"
    """
    with manager() as registry:
        folder = registry.path(model)
    if json:
        render.emit_json({"model": model, "path": str(folder)})
    else:
        render.emit(str(folder))
