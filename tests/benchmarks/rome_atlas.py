"""ROME on the demo base: what an edit achieves and what it breaks, by real packages on canonical states.

    python tests/benchmarks/rome_atlas.py                     # 50 facts, one package each, and 10 facts in one package
    python tests/benchmarks/rome_atlas.py --count 200 --seed 5 --set statistics=identity

Every number is a mean over packages of a score that ``patchmgr edit`` stored, protocol ``tf`` unless it says ``gen``.
Probes are facts and held-out wordings that the base answers. The exit code is 3 when a mean is below what is wanted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from patchmgr.demo.edits import edit_requests
from patchmgr.manager.handle import ModelHandle
from patchmgr.manager.manager import Manager

WANTED = {"reliability": 0.95, "generalization": 0.80, "locality": 0.90, "locality/same_subject": 0.80}


def main() -> None:
    parser = argparse.ArgumentParser(description="ROME on the demo base")
    parser.add_argument("--count", type=int, default=50, help="facts, one package each")
    parser.add_argument("--together", type=int, default=10, help="facts in one package, with consistent keys")
    parser.add_argument("--seed", type=int, default=0, help="which facts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the method")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parameters = dict(setting.split("=", 1) for setting in given.set)
    with tempfile.TemporaryDirectory() as home, Manager.open(Path(home)) as manager:
        manager.add_model("atlas", "demo:atlas")
        atlas = manager.model("atlas")
        first = edit_requests(1, seed=given.seed + 1)  # statistics are computed and kept here, outside the timing
        atlas.edit("warm", first, **parameters)
        missed = single(atlas, given.count, given.seed, parameters)
        together(atlas, given.together, given.seed, {**parameters, "keys": "consistent"})
    sys.exit(3 if missed else 0)


def single(atlas: ModelHandle, count: int, seed: int, parameters: dict[str, str]) -> list[str]:
    """Print the table; returns the metrics that are below what is wanted."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    start = time.perf_counter()
    for request in edit_requests(count, seed=seed):
        for score in atlas.edit("one", [request], **parameters).scores:
            if score.phase == "after":
                values[score.metric, score.protocol].append(score.value)
    seconds = (time.perf_counter() - start) / count
    print(f"\n{count} facts, one package each ({seconds:.1f} s a package, loading and scores included)")
    print(f"{'metric':<24}{'protocol':<10}{'packages':>9}{'mean':>8}{'wanted':>9}")
    for (metric, protocol), found in values.items():
        wanted = f">={WANTED[metric]:.2f}" if metric in WANTED and protocol == "tf" else ""
        print(f"{metric:<24}{protocol:<10}{len(found):>9}{sum(found) / len(found):>8.3f}{wanted:>9}")
    means = {metric: sum(found) / len(found) for (metric, protocol), found in values.items() if protocol == "tf"}
    return [metric for metric, least in WANTED.items() if means[metric] < least]


def together(atlas: ModelHandle, count: int, seed: int, parameters: dict[str, str]) -> None:
    print(f"\n{count} facts in one package, keys=consistent")
    for score in atlas.edit("many", edit_requests(count, seed=seed), **parameters).scores:
        if score.phase == "after":
            print(f"{score.metric:<24}{score.protocol:<10}{score.n:>9}{score.value:>8.3f}")


if __name__ == "__main__":
    main()
