"""``patchmgr generate``: ask a model, before and after."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from patchmgr.cli import render
from patchmgr.cli.options import JsonOpt, ModelArg, QuietOpt, SignaturesOpt
from patchmgr.cli.session import manager


def generate(
    model: ModelArg,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to go on from.")],
    compare: Annotated[bool, typer.Option("--compare", help="Ask the base as well.")] = False,
    trial: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="REF", help="Try a package on top; the model stays as it is. Repeatable."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="How long the answer may be, in tokens.")] = 12,
    signatures: SignaturesOpt = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Ask a model at its current state; decoding is greedy, so the answer is always the same.

    \b
    Examples:
      patchmgr generate atlas "The capital of France is" --compare
      patchmgr generate atlas "The capital of France is" --with fact-fixes@v2 --with ./other-fixes
    """
    with manager(quiet=quiet, signatures=signatures) as registry:
        answer = registry.generate(
            model, prompt, references=trial or (), compare=compare, max_new_tokens=max_new_tokens
        )
    if json:
        render.emit_json({"answer": asdict(answer)})
    elif answer.base_text is None:
        render.emit(f"{prompt}{_visible(answer.text)}")
    else:
        stack = ", ".join(answer.stack) or "no packages"
        label = "with:" if answer.trial else "now: "
        render.emit(f"base: {prompt}{_visible(answer.base_text)}\n{label} {prompt}{_visible(answer.text)}   ({stack})")


def _visible(text: str) -> str:
    return render.paint(text.replace("\n", "⏎"), "1")
