"""Real CounterFact records edited into the model that ``learn.py`` made, by every weight method that is installed.

    python tests/benchmarks/pararel/edit.py --data DIR --cache DIR
    python tests/benchmarks/pararel/edit.py --data DIR --cache DIR --methods memit --runs batch --set covariance_share=4

``single``: each of ``--count`` records is a package of its own on the base. ``batch``: ``--batch`` records are one
package. Records are drawn among those whose true answer the model gives. Efficacy, paraphrase, neighborhood and score
are CounterFact's, reliability is the share of target tokens that are the argmax; all on canonical states, with 95 %
intervals over records. Seconds are those of the method alone, its statistics computed before. What was measured lies in
``CACHE/outcomes.json`` and is not measured again, save with ``--again``.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from facts import RECORDS, read_world
from learn import RECIPE, answered
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from trials import METRICS, Figure, Outcome, Outcomes, Trial, run

from patchmgr.canonical import sha256_hex
from patchmgr.errors import PatchmgrError
from patchmgr.manager.manager import Manager
from patchmgr.readers.read import read_edits
from patchmgr.request import EditRequest

MODEL = "pararel"


def main() -> None:
    given = _options()
    torch.set_num_threads(1)
    folder = given.cache / "model"
    base = sha256_hex((folder / "model.safetensors").read_bytes())
    home = given.cache / f"home-{base[:12]}"
    is_new = not home.exists()
    outcomes = Outcomes(given.cache / "outcomes.json")
    with Manager.open(home) as manager:
        if is_new:
            manager.add_model(MODEL, str(folder.resolve()))
        known = known_requests(manager, given.data, folder)
        weights = [method.name for method in manager.plugins.methods.values() if method.kind == "weights"]
        print(f"{'method':<12}{'kind':<8}{'edits':>6}", *(f"{name:>20}" for name in METRICS), f"{'s an edit':>10}  cpu")
        for method in given.methods or weights:
            for kind in given.runs:
                n_edits = given.batch if kind == "batch" else given.count
                trial = Trial(method, tuple(given.set), kind, n_edits, given.seed, base)
                *chosen, warm = random.Random(given.seed).sample(known, n_edits + 1)
                outcome = None if given.again else outcomes.find(trial)
                if outcome is None:
                    try:
                        outcome = run(manager, MODEL, trial, chosen, warm)
                    except PatchmgrError as error:
                        print(f"{method:<12}{kind:<8}{n_edits:>6} {error}", flush=True)
                        continue
                    outcomes.keep(trial, outcome)
                show(trial, outcome)


def known_requests(manager: Manager, data: Path, folder: Path) -> list[EditRequest]:
    """The records of the model's world whose edit prompt it answers with the true target, one for each subject."""
    world = read_world(data, RECIPE.seed)
    read = read_edits(data / RECORDS, manager.plugins.readers, format="counterfact")
    inside = [request for request in read.requests if request.id in world.case_ids and request.target_true]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    right = answered(model, tokenizer, [(request.text, request.target_true) for request in inside])
    known = {request.subject: request for request, is_right in zip(inside, right, strict=True) if is_right}
    print(f"{read.n_records} records, {len(inside)} in the model's world, {sum(right)} known, {len(known)} subjects")
    return list(known.values())


def show(trial: Trial, outcome: Outcome) -> None:
    """Print a row."""
    shown = [_cell(outcome.after[name]) for name in METRICS]
    times = f"{outcome.seconds:>10.3f}{outcome.cpu_seconds:>7.3f}"
    print(f"{trial.method:<12}{trial.kind:<8}{trial.n_edits:>6}", *shown, times, *trial.settings, flush=True)


def _cell(figure: Figure) -> str:
    return f"{figure.value:>7.3f} ({figure.low:.2f}-{figure.high:.2f})"


def _options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="edit real CounterFact records")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="as given to learn.py")
    parser.add_argument("--methods", nargs="+", default=[], help="none: every weight method that is installed")
    parser.add_argument("--runs", nargs="+", choices=("single", "batch"), default=["single", "batch"])
    parser.add_argument("--count", type=int, default=50, help="records with a package of their own")
    parser.add_argument("--batch", type=int, default=100, help="records in one package")
    parser.add_argument("--seed", type=int, default=0, help="which records")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the methods")
    parser.add_argument("--again", action="store_true", help="measure again what has been measured")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
