"""Every weight method on the demo base with the same facts: each alone, all in one package, and one after another.

    python tests/benchmarks/methods_table.py --results DIR                         # all methods, 100 facts
    python tests/benchmarks/methods_table.py --results DIR --method memit --count 20 --set memit.layers=0

What is done lies in DIR as one JSON file for each method and way, so that an interrupted run goes on; ``--print`` only
prints what is there. All scores are measured by patchmgr on canonical states: *alone* is the mean over packages on the
pristine base, *together* one package of all facts, *sequence* the last state after each fact was edited on the state
that the ones before had left. Perplexity is that of sentences about other facts, after ÷ before.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from patchmgr.demo.edits import edit_requests
from patchmgr.demo.world import load_world
from patchmgr.errors import PatchmgrError
from patchmgr.manager.handle import ModelHandle
from patchmgr.manager.manager import Manager
from patchmgr.package.scores import Score

WAYS = ("alone", "together", "sequence")
SHOWN = (
    ("reliability", "tf"),
    ("generalization", "tf"),
    ("locality", "tf"),
    ("locality/same_subject", "tf"),
    ("portability", "tf"),
    ("exact_match", "gen"),
    ("perplexity", "tf"),
)
N_SENTENCES = 300
Requests = Sequence[dict[str, Any]]
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="all weight methods on the demo base")
    parser.add_argument("--results", type=Path, required=True, help="folder of what is done")
    parser.add_argument("--method", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--way", action="append", default=[], choices=WAYS, help="only this way; repeatable")
    parser.add_argument("--count", type=int, default=100, help="facts")
    parser.add_argument("--seed", type=int, default=1, help="which facts")
    parser.add_argument("--set", action="append", default=[], metavar="METHOD.KEY=VALUE", help="a parameter")
    parser.add_argument("--print", action="store_true", help="run nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results.mkdir(parents=True, exist_ok=True)
    requests = edit_requests(given.count, seed=given.seed)
    with tempfile.TemporaryDirectory() as home, Manager.open(Path(home)) as manager:
        text = Path(home) / "other-facts.txt"
        text.write_text(other_facts(requests), encoding="utf-8")
        for method in given.method or weight_methods(manager):
            for way in given.way or WAYS:
                kept = given.results / f"{method}.{way}.{given.count}.{given.seed}.json"
                if not given.print and not kept.exists():
                    kept.write_text(json.dumps(run(manager, method, way, requests, text, settings(given.set, method))))
    for way in WAYS:
        print_table(way, sorted(given.results.glob(f"*.{way}.{given.count}.{given.seed}.json")))


def weight_methods(manager: Manager) -> list[str]:
    return sorted(name for name, method in manager.plugins.methods.items() if method.kind == "weights")


def settings(given: Iterable[str], method: str) -> dict[str, str]:
    """Those of one method."""
    mine = (setting.removeprefix(f"{method}.") for setting in given if setting.startswith(f"{method}."))
    return dict(setting.split("=", 1) for setting in mine)


def other_facts(requests: Requests) -> str:
    """Sentences about facts that share neither the subject nor the relation and object of an edit."""
    world = load_world()
    edited = {request["subject"] for request in requests}
    facts = [fact for fact in world.facts if fact.subject not in edited]
    chosen = random.Random(0).sample(facts, min(N_SENTENCES, len(facts)))
    return " ".join(f"{world.prompt(fact)} {fact.object}." for fact in chosen)


def run(manager: Manager, method: str, way: str, requests: Requests, text: Path, parameters: dict[str, str]) -> Result:
    """One method, one way."""
    name = f"{method}-{way}"
    manager.add_model(name, "demo:atlas")
    model = manager.model(name)
    start = time.perf_counter()
    try:
        model.edit("warm", edit_requests(1, seed=99), method=method, **parameters)  # statistics, outside the timing
        scores, seconds = {"alone": alone, "together": together, "sequence": sequence}[way](
            model, method, requests, text, parameters
        )
    except PatchmgrError as error:
        return {"method": method, "failed": f"{type(error).__name__}: {error}", "parameters": parameters}
    print(f"{method} {way}: {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "method": method,
        "parameters": parameters,
        "seconds": seconds / len(requests),
        "scores": {f"{metric} {protocol}": value for (metric, protocol), value in scores.items()},
    }


Found = tuple[dict[tuple[str, str], float], float]


def alone(model: ModelHandle, method: str, requests: Requests, text: Path, parameters: dict[str, str]) -> Found:
    """Every fact its own package on the pristine base; means over the packages."""
    measured, seconds = [], 0.0
    for request in requests:
        edited = model.edit(f"{model.name}-fact", [request], method=method, **parameters)
        seconds += cost(edited.cost)
        measured += [score for score in edited.scores if score.phase == "after"]
        measured += drift(
            model.evaluate(edited.version.reference, text=text, metrics=("perplexity",)).subjects[0].scores
        )
    return means(measured), seconds


def together(model: ModelHandle, method: str, requests: Requests, text: Path, parameters: dict[str, str]) -> Found:
    """All facts in one package."""
    edited = model.edit(f"{model.name}-facts", requests, method=method, **parameters)
    ppl = model.evaluate(edited.version.reference, text=text, metrics=("perplexity",)).subjects[0].scores
    return means([*(score for score in edited.scores if score.phase == "after"), *drift(ppl)]), cost(edited.cost)


def sequence(model: ModelHandle, method: str, requests: Requests, text: Path, parameters: dict[str, str]) -> Found:
    """Every fact its own package, computed and put on the state that the ones before left; measured at the end."""
    seconds = 0.0
    for number, request in enumerate(requests):
        edited = model.edit(f"{model.name}-{number}", [request], method=method, **parameters)
        seconds += cost(edited.cost)
        model.apply(edited.version.reference)
    data = text.with_name("requests.jsonl")
    data.write_text("".join(f"{json.dumps(request)}\n" for request in requests), encoding="utf-8")
    scores = model.evaluate(data=data, text=text).subjects[0].scores
    return means([*(s for s in scores if s.phase == "after" and s.metric != "perplexity"), *drift(scores)]), seconds


def cost(scores: Iterable[Score]) -> float:
    """Seconds that the method took."""
    return next(score.value for score in scores if score.metric == "cost/seconds")


def drift(scores: Iterable[Score]) -> list[Score]:
    """Perplexity after ÷ before, as a score of the same name."""
    found = {score.phase: score for score in scores if score.metric == "perplexity"}
    return [found["after"].model_copy(update={"value": found["after"].value / found["before"].value})]


def means(scores: Iterable[Score]) -> dict[tuple[str, str], float]:
    """Over packages, by metric and protocol."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in scores:
        values[score.metric, score.protocol].append(score.value)
    return {key: sum(found) / len(found) for key, found in values.items()}


def print_table(way: str, files: Iterable[Path]) -> None:
    print(
        f"\n{way}\n{'method':<11}"
        + "".join(f"{metric.replace('locality/', ''):>16}" for metric, _ in SHOWN)
        + "  s a fact"
    )
    for file in files:
        result = json.loads(file.read_text())
        if "failed" in result:
            print(f"{result['method']:<11}{result['failed']}")
            continue
        values = [result["scores"].get(f"{metric} {protocol}") for metric, protocol in SHOWN]
        shown = "".join(f"{'-' if value is None else format(value, '.3f'):>16}" for value in values)
        print(f"{result['method']:<11}{shown}{result['seconds']:>10.2f}")


if __name__ == "__main__":
    main()
