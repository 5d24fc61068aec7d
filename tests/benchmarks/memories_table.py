"""Memories beside methods that write weights: a hundred facts of the demo base, edited one after another.

    python tests/benchmarks/memories_table.py --results DIR --serac WORK      # the folder of serac_atlas.py's training
    python tests/benchmarks/memories_table.py --results DIR --method grace --count 20 --set grace.radius=3

Each fact is edited on what the ones before left: a memory gets its next version, a weight method another package on the
model. With ``--together`` a memory gets all facts in one order, one after another, which comes to the same entries and
is faster: no memory here depends on how its edits were split into versions, but for the last bits of trained values. At
the end all facts are measured on the final state by ``patchmgr evaluate``, locality without probes that another of the
facts edits. The facts are the first of those that ``serac_atlas.py --seed S`` holds out, so that no editor that was
trained with that seed has seen their subjects. Results lie in DIR, a file for each method, so that an interrupted run
goes on; ``--print`` only prints.
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
from serac_atlas import split, trained

from patchmgr.canonical import sha256_file
from patchmgr.demo.world import atlas_folder
from patchmgr.live.load import load_model
from patchmgr.manager.editors.data import record
from patchmgr.manager.editors.keep import register
from patchmgr.manager.making import base_record
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.package.editor import EditorManifest, EditorPackage
from patchmgr.package.fields import FileRecord
from patchmgr.request import EditRequest
from patchmgr_serac import SeracTrainer

METHODS = ("grace", "melo", "wise", "serac", "ike", "retrieve-and-prepend", "memit", "alphaedit")
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
    parser.add_argument("--serac", type=Path, help="folder of serac_atlas.py's training; without it SERAC is left out")
    parser.add_argument("--together", action="store_true", help="memories get all facts in one version")
    parser.add_argument("--set", action="append", default=[], metavar="METHOD.KEY=VALUE", help="a parameter")
    parser.add_argument("--print", action="store_true", help="run nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results.mkdir(parents=True, exist_ok=True)
    requests = apart(split(given.seed)[1][: given.count])
    for method in given.method or METHODS:
        kept = given.results / f"{method}.{given.count}.{given.seed}.json"
        if given.print or kept.exists() or (method == "serac" and given.serac is None):
            continue
        editor = given.serac if method == "serac" else None
        found = run(method, requests, settings(given.set, method), editor, together=given.together, seed=given.seed)
        kept.write_text(json.dumps(found), encoding="utf-8")
    print_table(given.results, given.count, given.seed)


def run(
    method: str,
    requests: Sequence[EditRequest],
    parameters: dict[str, str],
    work: Path | None,
    *,
    together: bool,
    seed: int,
) -> dict[str, Any]:
    """One method: every fact edited by itself, all of them measured at the end."""
    start, seconds = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as home, Manager.open(Path(home)) as manager:
        manager.add_model("atlas", "demo:atlas")
        model = manager.model("atlas")
        more = {} if work is None else {"editor": registered(manager, work, seed)}
        remembers = manager.plugins.methods[method].kind == "memory"
        orders = [tuple(requests)] if remembers and together else [(request,) for request in requests]
        for number, some in enumerate(orders):
            name = "kb" if remembers else f"fact-{number}"
            given = more if number == 0 or not remembers else {}
            made = manager.edit("atlas", EditOrder(name, method, some, parameters=parameters, measure=1, **given))
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


def apart(requests: Sequence[EditRequest]) -> list[EditRequest]:
    """The requests without locality probes that another of them edits: what these say shall not stay."""
    edited = {text for request in requests for text in (request.text, *request.rephrasings)}
    return [
        request.model_copy(update={"locality": tuple(p for p in request.locality if p.prompt not in edited)})
        for request in requests
    ]


def registered(manager: Manager, work: Path, seed: int) -> str:
    """SERAC's editor of a training that ended, in the registry; its reference."""
    data, _ = split(seed)
    draft = trained(load_model(atlas_folder(), "atlas"), data, work, {}, seed)
    manifest = EditorManifest(
        name="scope", version=1, author="benchmark", created="2026-01-01T00:00:00Z", method="serac",
        method_version=SeracTrainer.version, parameters=dict(draft.parameters), seed=seed,
        base=base_record(manager.registry.model("atlas").base), training=record(data.training),
        validation=record(data.validation), steps=draft.steps, figures=dict(draft.figures),
        files={n: FileRecord(size_bytes=p.stat().st_size, sha256=sha256_file(p)) for n, p in draft.files.items()},
        libraries={},
    )  # fmt: skip
    return register(manager, EditorPackage(manifest, draft.files), "import").reference


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
