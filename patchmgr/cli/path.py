"""``patchmgr path``: where a model's current state lies."""

from __future__ import annotations

from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt, ModelArg
from patchmgr.cli.session import manager


def path(
    model: ModelArg,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Also where other programs would drop the model's memories.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Print the folder of a model's current state: an ordinary checkpoint that any tool loads.

    The memories of a state lie in it too. Other programs drop them, so that their weights alone must be asked for.

    \b
    Examples:
      vllm serve "$(patchmgr path llama-7b)"
    """
    with manager() as registry:
        folder = registry.path(model, weights_only=weights_only)
    if json:
        render.emit_json({"model": model, "path": str(folder)})
    else:
        render.emit(str(folder))
