"""``patchmgr harness``: tasks of lm-evaluation-harness before and after a patch, and whether it may ship."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.scores import number
from patchmgr.cli.session import manager
from patchmgr.durable import store_file
from patchmgr.errors import GateError
from patchmgr.output import check_output

if TYPE_CHECKING:
    from patchmgr.evaluate.harness.compared import Compared, Interval
    from patchmgr.manager.harness import HarnessReport


def harness(
    references: Annotated[
        list[str],
        typer.Argument(metavar="REF…|MODEL", help="Packages, or one model.", autocompletion=complete.subjects),
    ],
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Tasks, groups or tags of lm-evaluation-harness.")],
    include_path: Annotated[
        Path | None, typer.Option("--include-path", metavar="DIR", help="Task files of your own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many documents of each task.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Examples in front of each question.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a forward pass.")] = 8,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", metavar="TASK/METRIC drop<=X", help="Exit 3 when it fails; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is drawn: examples, text, intervals.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, mps or auto.")] = "cpu",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the forward pass; auto: as stored.")
    ] = "float32",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="JSON, with every document whose value changed.")
    ] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Run lm-evaluation-harness on a patched state and the state below it, and gate on the difference.

    \b
    Examples:
      patchmgr harness fact-fixes --tasks arc_easy,hellaswag --require "arc_easy/acc drop<=0.01"
      patchmgr harness prod --tasks my_task --include-path tasks/ --require "my_task/exact_match>=0.9"
    """
    from patchmgr.manager.harness import HarnessOrder

    if report is not None:
        check_output(report)
    names = tuple(name.strip() for name in tasks.split(",") if name.strip())
    required = tuple(require or ())
    order = HarnessOrder(names, include_path, limit, num_fewshot, batch_size, required, seed, device, dtype)
    with manager(quiet=quiet) as registry:
        done = registry.harness(references, order)
    if report is not None:
        _write(report, done)
    if json:
        _emit_json(done)
        return
    render.emit("\n\n".join(f"{one.subject}\n{_table(one.rows)}" for one in done.subjects))
    for gate in done.gates:
        if gate.met:
            render.remark(str(gate), quiet=quiet)
    done.check()


def _table(rows: tuple[Compared, ...]) -> str:
    cells = [
        [
            row.after.task,
            row.after.metric,
            len(row.after.samples) or (row.task.n if row.task else ""),
            number(row.before.value),
            _error(row.before.stderr),
            number(row.after.value),
            _error(row.after.stderr),
            f"{row.difference:+.4f}",
            f"{row.interval[0]:+.4f} … {row.interval[1]:+.4f}" if row.interval else "",
        ]
        for row in rows
    ]
    header = ["TASK", "METRIC", "N", "BEFORE", "±", "AFTER", "±", "DIFFERENCE", "95 % INTERVAL"]
    return render.table(cells, header, right=[2, 3, 4, 5, 6, 7])


def _error(stderr: float | None) -> str:
    return "" if stderr is None else f"{stderr:.4f}"


def _write(report: Path, done: HarnessReport) -> None:
    value = {"schema_version": render.SCHEMA_VERSION, **_value(done, documents=True)}
    text = json_format.dumps(value, indent=2, ensure_ascii=False) + "\n"
    store_file(text.encode(), report, what=f"the report {report}")


def _emit_json(done: HarnessReport) -> None:
    """One object, whatever came of the gates; those that failed are an error in it, with its exit code."""
    value = _value(done, documents=False)
    try:
        done.check()
    except GateError as failed:
        value["error"] = {"kind": failed.kind, "message": failed.message, "hint": failed.hint}
        render.emit_json(value)
        raise typer.Exit(failed.exit_code) from None
    render.emit_json(value)


def _value(done: HarnessReport, *, documents: bool) -> dict[str, Any]:
    return {
        "lm_eval": done.version,
        "compute_dtype": done.compute_dtype,
        "evaluations": [
            {
                "subject": one.subject,
                "digest": one.digest,
                "before_root": one.before_root,
                "after_root": one.after_root,
                "tasks": [_row(row, documents=documents) for row in one.rows],
            }
            for one in done.subjects
        ],
        "gates": [
            {"subject": gate.subject, "requirement": str(gate.requirement), "value": gate.value, "met": gate.met}
            for gate in done.gates
        ],
    }


def _row(row: Compared, *, documents: bool) -> dict[str, Any]:
    value: dict[str, Any] = {
        "task": row.after.task,
        "metric": row.after.metric,
        "protocol": row.task.protocol if row.task else None,
        "n": len(row.after.samples) or (row.task.n if row.task else None),
        "n_shot": row.task.n_shot if row.task else None,
        "asked_sha256": row.task.asked_sha256 if row.task else None,
        "before": {"value": row.before.value, "stderr": row.before.stderr, "interval": _pair(row.interval_before)},
        "after": {"value": row.after.value, "stderr": row.after.stderr, "interval": _pair(row.interval_after)},
        "difference": row.difference,
        "interval": _pair(row.interval),
        "n_changed": len(row.changed),
    }
    if documents:
        value["changed"] = [
            {"document": document, "before": before, "after": after} for document, before, after in row.changed
        ]
    return value


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
