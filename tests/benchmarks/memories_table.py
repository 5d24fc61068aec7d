"""Memories beside methods that write weights: a hundred facts of the demo base, edited one after another.

    python tests/benchmarks/memories_table.py --results DIR --serac WORK      # the folder of serac_atlas.py's training
    python tests/benchmarks/memories_table.py --results DIR --method grace --count 20 --set grace.radius=3

Each fact is edited on what the ones before left: a memory gets its next version, a weight method another package on the
model. At the end all facts are measured on the final state by ``patchmgr evaluate``. The facts are the first of those
that ``serac_atlas.py --seed S`` holds out, so that no editor that was trained with that seed has seen their subjects.
Results lie in DIR, a file for each method, so that an interrupted run goes on; ``--print`` only prints.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from methods_table import cost, drift, means, other_facts, settings
from serac_atlas import split

from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.request import EditRequest

METHODS = ("grace", "wise", "serac", "ike", "retrieve-and-prepend", "memit", "alphaedit")
SHOWN = (
    ("reliability", "tf"),
    ("generalization", "tf"),
    ("locality", "tf"),
    ("locality/same_subject", "tf"),
    ("exact_match", "gen"),
    ("perplexity", "tf"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="memories beside weight methods on the demo base, one fact at a time")
    parser.add_argument("--results", type=Path, required=True, help="folder of what is done")
    parser.add_argument("--method", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--count", type=int, default=100, help="facts")
    parser.add_argument("--seed", type=int, default=0, help="which subjects")
    parser.add_argument("--editor", type=Path, help="folder of SERAC's editor; without it SERAC is left out")
    parser.add_argument("--set", action="append", default=[], metavar="METHOD.KEY=VALUE", help="a parameter")
    parser.add_argument("--print", action="store_true", help="run nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results.mkdir(parents=True, exist_ok=True)
    requests = split(given.seed)[1][: given.count]
    for method in given.method or METHODS:
        kept = given.results / f"{method}.{given.count}.{given.seed}.json"
        if given.print or kept.exists() or (method == "serac" and given.editor is None):
            continue
        found = run(method, requests, settings(given.set, method), given.editor if method == "serac" else None)
        kept.write_text(json.dumps(found), encoding="utf-8")
    print_table(given.results, given.count, given.seed)


def run(
    method: str, requests: Sequence[EditRequest], parameters: dict[str, str], editor: Path | None
) -> dict[str, Any]:
    """One method: every fact edited by itself, all of them measured at the end."""
    start, seconds = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as home, Manager.open(Path(home)) as manager:
        manager.add_model("atlas", "demo:atlas")
        model = manager.model("atlas")
        more = {} if editor is None else {"editor": manager.editors.import_folder(editor).reference}
        remembers = manager.plugins.methods[method].kind == "memory"
        for number, request in enumerate(requests):
            name = "kb" if remembers else f"fact-{number}"
            given = more if number == 0 or not remembers else {}
            made = manager.edit("atlas", EditOrder(name, method, (request,), parameters=parameters, **given))
            seconds += cost(made.cost)
            if not remembers:
                model.apply(made.version.reference)
        if remembers:
            model.apply("kb")
        data, text = Path(home) / "facts.jsonl", Path(home) / "text.txt"
        plain = [request.model_dump(mode="json") for request in requests]
        data.write_text("".join(f"{json.dumps(each)}\n" for each in plain), encoding="utf-8")
        text.write_text(other_facts(plain), encoding="utf-8")
        scores = model.evaluate(data=data, text=text).subjects[0].scores
        measured = means([*(s for s in scores if s.phase == "after" and s.metric != "perplexity"), *drift(scores)])
    print(f"{method}: {time.perf_counter() - start:.0f} s", flush=True)
    named = {f"{metric} {protocol}": value for (metric, protocol), value in measured.items()}
    return {"method": method, "parameters": parameters, "seconds": seconds / len(requests), "scores": named}


def print_table(folder: Path, count: int, seed: int) -> None:
    print(f"{'method':<22}" + "".join(f"{metric.replace('locality/', ''):>16}" for metric, _ in SHOWN) + "  s a fact")
    for method in METHODS:
        file = folder / f"{method}.{count}.{seed}.json"
        if file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            values = [found["scores"].get(f"{metric} {protocol}") for metric, protocol in SHOWN]
            shown = "".join(f"{'-' if value is None else format(value, '.3f'):>16}" for value in values)
            print(f"{method:<22}{shown}{found['seconds']:>10.2f}")


if __name__ == "__main__":
    main()
