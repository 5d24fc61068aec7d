"""SERAC's four tasks: ES and DD of several methods, edits of subjects that no training saw, several at once.

    python tests/benchmarks/serac_tasks.py --task qa --out DIR
    python tests/benchmarks/serac_tasks.py --task fc --out DIR --methods ft-m,retrieve-and-prepend --encoder minilm

Data come from ``examples/tasks/make.py``, the base from ``examples/tasks/base.py``, made once in ``DIR/base``; ``--base
demo:atlas`` takes another. Every figure is of real packages: groups of edits, each one package on the base. What was
measured is kept as JSON in ``DIR/results``, so an interrupted run goes on; ``--table`` prints all of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from patchmgr.manager.evaluate import EvaluationOrder
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.request import EditRequest, dump_requests, parse_request

TASKS = Path(__file__).parents[2] / "examples" / "tasks"
sys.path.append(str(TASKS))

from make import files  # noqa: E402
from scope_probes import best_cosine, replies, routed  # noqa: E402

METRICS = {
    "qa": ("es", "dd"),
    "qa-hard": ("es_hard", "dd"),
    "fc": ("es_fc", "dd"),
    "convsent": ("es_sent", "dd_sent", "dd"),
}
METHODS = ("ft-l", "ft-m", "ike", "retrieve-and-prepend", "serac")
AT_ONCE = {"qa": 10, "qa-hard": 10, "fc": 10, "convsent": 5}
DEMONSTRATIONS = 2
"""IKE's: what the base's 256 positions have room for."""


@dataclass(frozen=True)
class Bench:
    """One task on one base."""

    task: str
    base: str
    """Where it comes from, as ``model add`` takes it."""
    encoder: str
    out: Path
    training: Mapping[str, str]
    """Parameters of SERAC's training."""

    def requests(self, name: str) -> list[EditRequest]:
        """A file of the task."""
        return [parse_request(value, where=name) for value in files(self.task, 7)[f"{name}.jsonl"]]

    @property
    def counterfactual(self) -> str:
        """Who answers of SERAC: a trained copy of the base, or the base with the edit in front."""
        return self.training.get("counterfactual", "copy")

    @property
    def model(self) -> str:
        """What the base is called."""
        return Path(self.base).name.replace(":", "-")

    @contextmanager
    def manager(self) -> Iterator[Manager]:
        """A registry that knows the base; editors in it serve every base."""
        with Manager.open(self.out / "home") as manager:
            if self.model not in [model.name for model in manager.registry.models()]:
                manager.add_model(self.model, self.base)
            yield manager


def main() -> None:
    parser = argparse.ArgumentParser(description="SERAC's four tasks")
    parser.add_argument("--task", choices=METRICS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", help="as `patchmgr model add` takes it; none: made in OUT/base")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--encoder", default="minilm", help="of IKE and retrieve-and-prepend")
    parser.add_argument("--groups", type=int, default=3, help="packages a method")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of SERAC's training"
    )
    parser.add_argument("--table", action="store_true", help="print what was measured so far, and measure nothing")
    given = parser.parse_args()
    if not given.table:
        torch.set_num_threads(1)
        training = dict(setting.split("=", 1) for setting in given.set)
        bench = Bench(given.task, given.base or str(_base(given.out)), given.encoder, given.out, training)
        for method in given.methods.split(","):
            measure(bench, method, given.groups)
    table(given.out)


def _base(out: Path) -> Path:
    """The base of the tasks, made where it is not there."""
    folder = out / "base"
    if not (folder / "figures.json").exists():
        subprocess.run([sys.executable, str(TASKS / "base.py"), "--out", str(folder)], check=True)
    return folder


def measure(bench: Bench, method: str, n_groups: int) -> None:
    """Every group that is not measured yet."""
    size, edits = AT_ONCE[bench.task], bench.requests("test")
    asked = bench.requests("test-replies") if bench.task == "convsent" else edits
    n_groups = min(n_groups, len(edits) // size)
    label = f"{method}-{bench.counterfactual}" if method == "serac" else method
    name = f"{bench.task}.{bench.model}.{label}"
    paths = [bench.out / "results" / f"{name}.{number}.json" for number in range(n_groups)]
    if all(path.exists() for path in paths):
        return
    with bench.manager() as manager:
        parameters = settings(bench, method, manager)
        for number, path in enumerate(paths):
            if not path.exists():
                part = slice(number * size, (number + 1) * size)
                found = measured(bench, manager, method, parameters, edits[part], asked[part])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(
                    json.dumps({"task": bench.task, "base": bench.model, "method": label, **found}, indent=1)
                )
                print(path.name, found["scores"], flush=True)


def settings(bench: Bench, method: str, manager: Manager) -> dict[str, Any]:
    """What an order says beside the edits; thresholds are those that route the validation edits best."""
    finding = {"encoder": bench.encoder, "ship_encoder": bench.encoder == "demo"}
    if method == "ike":
        return {"parameters": {**finding, "demonstrations": DEMONSTRATIONS}}
    if method == "retrieve-and-prepend":
        return {
            "parameters": {**finding, "threshold": best_cosine(bench.task, bench.encoder, bench.requests("validation"))}
        }
    return {"editor": editor(bench, manager)} if method == "serac" else {}


def editor(bench: Bench, manager: Manager) -> str:
    """SERAC's editor for a task, trained once."""
    from patchmgr.manager.editors.train import TrainOrder

    name = f"{bench.task}-{bench.counterfactual}"
    known = [record.reference for record in manager.editors.list() if record.name == name]
    if known:
        return known[-1]
    start = time.process_time()
    order = TrainOrder(
        name,
        "serac",
        tuple(bench.requests("training")),
        tuple(bench.requests("validation")),
        parameters=bench.training,
        report=lambda step, figures: print(step, {k: round(v, 3) for k, v in figures.items()}, flush=True),
    )
    reference = manager.editors.train(bench.model, order).reference
    print(f"{reference} trained in {time.process_time() - start:.0f} s", flush=True)
    return reference


def measured(
    bench: Bench,
    manager: Manager,
    method: str,
    parameters: Mapping[str, Any],
    edits: Sequence[EditRequest],
    asked: Sequence[EditRequest],
) -> dict[str, Any]:
    """One package of some edits, and what it achieves."""
    start, data = time.process_time(), bench.out / "asked.jsonl"
    order = EditOrder(f"{bench.task}-{bench.model}-{method}", method, tuple(edits), anew=True, **parameters)
    reference = manager.edit(bench.model, order).version.reference
    seconds = time.process_time() - start
    data.write_bytes(dump_requests(asked))
    done = manager.evaluate((reference,), EvaluationOrder(data=data, metrics=METRICS[bench.task]))
    scores = {one.score.metric: [one.score.value, one.score.n] for one in done.subjects[0].measured
              if one.score.phase == "after"}  # fmt: skip
    scores |= routed(manager, bench.model, reference, edits)
    if bench.task == "convsent":
        scores |= replies(manager, bench.model, reference, edits)
    return {"scores": scores, "seconds": round(seconds, 1), "edits": len(edits)}


def table(out: Path) -> None:
    """Means over groups, each probe counting alike."""
    rows: dict[tuple[str, str, str], list[dict[str, list[float]]]] = {}
    for path in sorted((out / "results").glob("*.json")):
        found = json.loads(path.read_text())
        rows.setdefault((found["task"], found["base"], found["method"]), []).append(found["scores"])
    for (task, base, method), groups in sorted(rows.items(), key=lambda row: (list(METRICS).index(row[0][0]), row[0])):
        names = dict.fromkeys(name for group in groups for name in group)
        means = {name: _mean([group[name] for group in groups if name in group]) for name in names}
        shown = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        print(f"{task:<9} {base:<10} {method:<21} {shown}")


def _mean(scores: Sequence[Sequence[float]]) -> float:
    return sum(value * n for value, n in scores) / sum(n for _, n in scores)


if __name__ == "__main__":
    main()
