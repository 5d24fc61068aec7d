"""``patchmgr blame``: which package and edit answers a prompt, or which packages wrote a tensor."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DeviceOpt, JsonOpt, ModelArg, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.cli.suspects import suspect_json, suspect_text
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.blame.contract import Blame, Evidence, Said, TensorBlame


def blame(
    model: ModelArg,
    prompt: Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="What the model is asked.")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The answer to trace; without it, what the model says.")
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Try every package, not only those that are near the prompt.")
    ] = False,
    tensor: Annotated[
        str | None, typer.Option("--tensor", metavar="NAME", help="Who wrote this tensor, in place of a prompt.")
    ] = None,
    device: DeviceOpt = "cpu",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the forward pass; auto: as stored.")
    ] = "float32",
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Trace an answer to the package and the edit behind it, by leaving packages out; or a tensor to its writers.

    \b
    Examples:
      patchmgr blame atlas "The capital of France is"
      patchmgr blame atlas "The capital of Spain is" --target Madrid
      patchmgr blame atlas --tensor transformer.h.0.mlp.c_proj.weight
    """
    if (prompt is None) == (tensor is None):
        raise UsageError("give a prompt, or --tensor NAME, and not both", hint='such as "The capital of France is"')
    if tensor is not None:
        if exhaustive or target is not None:
            raise UsageError("--target and --exhaustive are about a prompt", hint="leave them out with --tensor")
        with manager(quiet=quiet) as registry:
            written = registry.blame_tensor(model, tensor)
        if json:
            render.emit_json({"tensor": _tensor_json(written)})
        else:
            render.emit(_tensor_text(written))
        return
    assert prompt is not None
    with manager(quiet=quiet) as registry:
        found = registry.blame(model, prompt, target=target, exhaustive=exhaustive, device=device, dtype=dtype)
    if json:
        render.emit_json({"blame": _json(found)})
    else:
        render.emit(_text(found))


def _text(found: Blame) -> str:
    parts = [
        render.table(
            [
                [name, f"{found.prompt} {said.text}", _log_p(said)]
                for name, said in (("now", found.now), ("base", found.base))
            ],
            ["", "SAYS", f"LOG P({found.target})"],
            right=[2],
        ),
        _verdict(found),
        *(suspect_text(one.manifest, one.edits, remark=_near(one)) for one in found.blamed),
    ]
    if found.evidence:
        rows = [
            [one.manifest.reference, _near(one), one.without.text, f"{one.log_p_lost(found.now):+.2f}", _marks(one)]
            for one in found.evidence
        ]
        parts.append(render.table(rows, ["WITHOUT", "NEAR", "SAYS", "LOG P LOST", ""], right=[3]))
    untried = found.n_packages - len(found.evidence)
    if untried:
        parts.append(f"{untried} other package(s) are not near the prompt and were not tried: --exhaustive tries them")
    return "\n\n".join(part for part in parts if part)


def _verdict(found: Blame) -> str:
    names, says = ", ".join(one.manifest.reference for one in found.blamed), found.now.says_target
    if found.verdict == "base":
        if says:
            return f"the base answers {found.target!r} itself, and no package that was tried is needed for it"
        return f"neither the model nor its base says {found.target!r}, and no package that was tried keeps it away"
    if len(found.blamed) == 1:
        return f"{names} {'answers' if says else 'keeps it from saying'} {found.target!r}"
    what = f"{'answer' if says else 'keep it from saying'} {found.target!r}"
    if found.verdict == "together":
        return f"no package alone, but together {names} {what}"
    return f"{names} {what}; each of them is needed for that"


def _near(one: Evidence) -> str:
    if one.near is None:
        return "no keys" if one.manifest.kind == "weights" else "not claimed"
    return f"{'entry' if one.near.entries else 'key'} {one.near.score:.2f}"


def _marks(one: Evidence) -> str:
    marks = ["another answer"] if one.changes_answer else []
    if one.n_dependants:
        marks.append(f"{one.n_dependants} package(s) were computed on it")
    return ", ".join(marks)


def _log_p(said: Said) -> str:
    return f"{said.log_p:.2f}" if isfinite(said.log_p) else "-"


def _json(found: Blame) -> dict[str, Any]:
    return {
        "model": found.model,
        "prompt": found.prompt,
        "target": found.target,
        "now": _said_json(found.now),
        "base": _said_json(found.base),
        "verdict": found.verdict,
        "blamed": [one.manifest.reference for one in found.blamed],
        "n_packages": found.n_packages,
        "evidence": [_evidence_json(found, one) for one in found.evidence],
    }


def _evidence_json(found: Blame, one: Evidence) -> dict[str, Any]:
    near = one.near
    return {
        "package": suspect_json(one.manifest, one.edits),
        "near": None if near is None else {"score": near.score, "entries": near.entries},
        "without": _said_json(one.without),
        "log_p_lost": one.log_p_lost(found.now),
        "changes_answer": one.changes_answer,
        "n_dependants": one.n_dependants,
    }


def _said_json(said: Said) -> dict[str, Any]:
    return {"text": said.text, "says_target": said.says_target, "log_p": said.log_p}


def _tensor_text(found: TensorBlame) -> str:
    shape = "×".join(map(str, found.shape))
    head = f"{found.tensor}  {found.dtype} {shape}, ‖W‖ of the base {_number(found.base_norm)}"
    if not found.writers:
        return f"{head}\n\nno package of the stack writes it: it is the base's, {render.short(found.before_sha256)}"
    rows = [
        [
            i,
            one.manifest.reference,
            one.encoding,
            _number(one.norm),
            _number(one.norm / found.base_norm if one.norm is not None and found.base_norm else None),
            one.generation,
            one.since[:19].replace("T", " "),
            one.manifest.message,
        ]
        for i, one in enumerate(found.writers, start=1)
    ]
    header = ["#", "PACKAGE", "ENCODING", "‖Δ‖", "‖Δ‖/‖W‖", "SINCE GEN", "WHEN", "MESSAGE"]
    last = f"{found.writers[-1].manifest.reference} wrote it last; it was {render.short(found.before_sha256)}"
    return f"{head}\n\n{render.table(rows, header, right=[3, 4, 5])}\n\n{last}, is {render.short(found.after_sha256)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _tensor_json(found: TensorBlame) -> dict[str, Any]:
    return {
        "model": found.model,
        "tensor": found.tensor,
        "dtype": found.dtype,
        "shape": found.shape,
        "before_sha256": found.before_sha256,
        "after_sha256": found.after_sha256,
        "base_norm": found.base_norm,
        "last": found.writers[-1].manifest.reference if found.writers else None,
        "writers": [
            {
                "reference": one.manifest.reference,
                "digest": one.manifest.digest,
                "author": one.manifest.author,
                "message": one.manifest.message,
                "encoding": one.encoding,
                "norm": one.norm,
                "generation": one.generation,
                "since": one.since,
            }
            for one in found.writers
        ],
    }
