"""``patchmgr bisect``: which package of a stack, or which change of a model, turned good into bad."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DeviceOpt, JsonOpt, ModelArg, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.cli.suspects import suspect_json, suspect_text
from patchmgr.errors import PatchmgrError, UsageError

if TYPE_CHECKING:
    from patchmgr.manager.bisect.contract import Bisection, LineState, Test, Turn


def bisect(
    model: ModelArg,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND…]", help="A program: exit status 0 good, 1 to 127 bad, 125 skip."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What to ask; good when the answer…")] = None,
    expect: Annotated[str | None, typer.Option(metavar="TEXT", help="…begins with this.")] = None,
    negated: Annotated[bool, typer.Option("--not", help="Good when it does not.")] = False,
    require: Annotated[
        list[str] | None, typer.Option("--require", metavar="METRIC>=X", help="Good when all are met; repeatable.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help="What to measure with.")] = None,
    text: Annotated[
        Path | None, typer.Option("--text", metavar="FILE", help="A held-out text, for perplexity.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Draw so many requests of the data, by relation.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is drawn.")] = 0,
    generations: Annotated[
        bool, typer.Option("--generations", help="Search the history of the model, not its stack.")
    ] = False,
    good: Annotated[
        str | None, typer.Option(metavar="REF|GEN", help="It was good when this package came, or at this generation.")
    ] = None,
    bad: Annotated[
        str | None, typer.Option(metavar="REF|GEN", help="It was bad when this package came, or at this generation.")
    ] = None,
    check_ends: Annotated[bool, typer.Option("--check-ends", help="Look at both ends first.")] = False,
    device: DeviceOpt = "cpu",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the forward pass; auto: as stored.")
    ] = "float32",
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Find the package that turned good into bad, between the base and the whole stack; exit 1 when none stands alone.

    \b
    Examples:
      patchmgr bisect atlas --prompt "The capital of Spain is" --expect Madrid
      patchmgr bisect atlas --good fact-fixes --prompt "The capital of France is" --expect Rome
      patchmgr bisect atlas --require "locality>=0.9" --data probes.jsonl
      patchmgr bisect atlas --generations --good 4 --prompt "The capital of Spain is" --expect Madrid
      patchmgr bisect atlas -- sh -c 'python check.py "$PATCHMGR_MODEL_FOLDER"'
    """
    from patchmgr.manager.bisect.contract import BisectOrder, Command, Expectation, Gate

    asked: list[Test] = []
    if prompt is not None and expect is not None:
        asked.append(Expectation(prompt, expect, negated))
    elif prompt is not None or expect is not None or negated:
        lacking = "--expect" if prompt is not None else "--prompt"
        raise UsageError(
            f"{lacking} is missing", hint='--prompt and --expect go together: --prompt "1 + 1 is" --expect 2'
        )
    if require or data is not None or text is not None:
        asked.append(Gate(tuple(require or ()), data, text, limit, seed))
    if command:
        asked.append(Command(tuple(command)))
    if len(asked) != 1:
        raise UsageError(
            "several tests are given" if asked else "no test is given",
            hint="give one of: --prompt with --expect; --require with --data; -- COMMAND",
        )
    over: Literal["stack", "generations"] = "generations" if generations else "stack"
    order = BisectOrder(asked[0], over, good, bad, check_ends, device, dtype)
    with manager(quiet=quiet) as registry:
        done = registry.bisect(model, order)
    if json:
        render.emit_json({"bisect": _json(done)})
    else:
        render.emit(_text(done))
    if done.turn is None:
        raise typer.Exit(PatchmgrError.exit_code)


def _text(done: Bisection) -> str:
    rows = [[i, look.name, look.verdict, look.why] for i, look in enumerate(done.looks, start=1)]
    log = render.table(rows, ["#", "STATE", "VERDICT", "WHY"])
    n_steps = len(done.line) - 1
    cost = f"{done.n_evaluations} evaluation(s) for {n_steps} step(s)"
    if done.found.agreed is not None:
        which = "a good state" if done.found.agreed == "good" else "a bad state"
        end = done.line[-1 if done.found.agreed == "good" else 0].name
        return f"{log}\n\nnothing turned it: {end} is {which} already ({cost})"
    if done.turn is not None:
        return f"{log}\n\n{_named(done.turn)} turned it bad ({cost})\n\n{_turn_text(done.turn)}"
    lines = [f"{log}\n\ncannot tell which of these turned it bad, for states between were skipped ({cost}):"]
    return "\n".join([*lines, *(f"  {turn.after.name}: {_named(turn)}" for turn in done.turns)])


def _named(turn: Turn) -> str:
    """The packages of a step, those that went with a minus."""
    found = " ".join(f"{'-' if one.left else ''}{one.manifest.reference}" for one in turn.suspects)
    generation = turn.after.generation
    if generation is None:
        return found
    among = f" of {turn.n_moved} packages" if turn.n_moved > len(turn.suspects) else ""
    return f"generation {generation.number} ({generation.action} {found}{among})"


def _turn_text(turn: Turn) -> str:
    generation, parts = turn.after.generation, []
    if generation is not None:
        parts.append(f"made     {generation.created}\nmessage  {render.line(generation.message or '-')}")
    for one in turn.suspects:
        parts.append(suspect_text(one.manifest, one.edits, remark="taken out" if one.left else ""))
    return "\n\n".join(parts)


def _json(done: Bisection) -> dict[str, Any]:
    found = done.found
    return {
        "model": done.model,
        "over": done.order.over,
        "n_steps": found.n_steps,
        "n_evaluations": done.n_evaluations,
        "n_skipped": len(done.looks) - done.n_evaluations,
        "found": done.turn is not None,
        "agreed": found.agreed,
        "turned": None if done.turn is None else _turn_json(done.turn),
        "candidates": [_turn_json(turn) for turn in done.turns],
        "log": [
            {"name": look.name, "verdict": look.verdict, "why": look.why, "state_root": look.state_root}
            for look in done.looks
        ],
    }


def _turn_json(turn: Turn) -> dict[str, Any]:
    return {
        "before": _state_json(turn.before),
        "after": _state_json(turn.after),
        "n_moved": turn.n_moved,
        "packages": [
            {**suspect_json(one.manifest, one.edits), "moved": "removed" if one.left else "added"}
            for one in turn.suspects
        ],
    }


def _state_json(state: LineState) -> dict[str, Any]:
    generation = state.generation
    return {
        "name": state.name,
        "n_packages": len(state.stack),
        "generation": None if generation is None else generation.number,
        "action": None if generation is None else generation.action,
        "message": None if generation is None else generation.message,
        "created": None if generation is None else generation.created,
    }
