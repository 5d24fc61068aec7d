"""What key cross-talk says of facts that are lost: real packages on the demo base, every two of them and all together.

    python tests/benchmarks/cross_talk.py --method rome --count 24

Each package holds one fact and was computed on the base alone. For every fact that holds by itself and every other
package the table has ‖Δ₂k‖/‖Δ₁k‖, from stored keys, and whether the fact is lost beside that package, by asking the
model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import torch

from patchmgr.demo.edits import edit_requests
from patchmgr.manager.conflicts.conflicts import Conflicts, ConflictsOrder
from patchmgr.manager.manager import Manager

BINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, float("inf"))


def main() -> None:
    parser = argparse.ArgumentParser(description="key cross-talk against facts that are lost")
    parser.add_argument("--method", default="rome")
    parser.add_argument("--count", type=int, default=24, help="packages")
    parser.add_argument("--seed", type=int, default=0, help="which facts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the method")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parameters = dict(setting.split("=", 1) for setting in given.set)
    with tempfile.TemporaryDirectory() as home, Manager.open(Path(home)) as manager:
        manager.add_model("atlas", "demo:atlas")
        names = [f"p{number:02d}" for number in range(given.count)]
        held = []
        for name, fact in zip(names, edit_requests(given.count, seed=given.seed), strict=True):
            made = manager.model("atlas").edit(name, [fact], method=given.method, on="base", **parameters)
            if any(
                score.metric == "exact_match" and score.phase == "after" and score.value == 1 for score in made.scores
            ):
                held.append(name)
        found = manager.conflicts(held, ConflictsOrder(cross_talk=0.0, run=True, pairs=True, most=0))
    print(f"{given.method}, {len(held)} of {given.count} facts hold by themselves, seed {given.seed}\n")
    print("every two packages")
    show(pairs(found))
    print("\nall packages together")
    show(together(found))


def pairs(found: Conflicts) -> Iterable[tuple[float, bool]]:
    """Ratio, and whether the fact is lost, for each fact and other package."""
    lost = {
        (one.reference, other)
        for pair in found.executed.pairs
        for one in pair.worse
        if one.lost
        for other in (pair.first, pair.second)
        if other != one.reference
    }
    for warned in found.warned:
        for other, ratio in warned.talk.others:
            yield ratio, (warned.talk.reference, other) in lost


def together(found: Conflicts) -> Iterable[tuple[float, bool]]:
    """The same of each fact on the whole stack."""
    lost = {one.reference for one in found.executed.worse if one.lost}
    for warned in found.warned:
        yield warned.talk.together, warned.talk.reference in lost


def show(values: Iterable[tuple[float, bool]]) -> None:
    values = list(values)
    print(f"{'ratio':<14}{'facts':>7}{'lost':>7}{'share':>8}")
    for low, high in pairwise(BINS):
        inside = [lost for ratio, lost in values if low <= ratio < high]
        if inside:
            print(f"{low:.1f} to {high:<8.1f}{len(inside):>7}{sum(inside):>7}{sum(inside) / len(inside):>8.2f}")


if __name__ == "__main__":
    main()
