"""A small model that knows the facts behind real CounterFact records, trained by the trainer of the demo base.

    python tests/benchmarks/pararel/learn.py --data DIR --cache DIR [--minutes 10]

DIR of the data holds ``counterfact/original_sample.json``, ``pararel/patterns`` and ``wikitext2/valid.txt``. Stop it at
any time, or let ``--minutes`` do so: the same command goes on from the last checkpoint and ends with the same weights.
The model lies in ``CACHE/model``, an ordinary checkpoint; recall is printed and kept in ``CACHE/recall.json``. The exit
code is 3 while there are steps left.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "examples" / "atlas"))

import torch
from build import Clock
from corpus import Rows
from facts import World, read_world
from passages import MIX, read_encyclopedia, rows_of_pass, tokenizer_text
from recall import answered
from tokenizers import Tokenizer
from tokens import save_tokenizer, train_tokenizer
from train import Progress, Recipe, train
from transformers import AutoModelForCausalLM, PreTrainedModel

RECIPE = Recipe(seed=11, vocabulary=2400, steps=3600, learning_rate=5e-3, weight_decay=0.05, mix=MIX)


class OutOfTimeError(Exception):
    """The minutes are over, and the checkpoint is written."""


def main() -> None:
    parser = argparse.ArgumentParser(description="train a model on the facts behind CounterFact records")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop at the checkpoint after so many")
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--save-every", type=int, default=150, help="steps between checkpoints")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        learn(given.data, given.cache, replace(RECIPE, steps=given.steps), given.save_every, given.minutes)
    except OutOfTimeError:
        print("out of time; the same command goes on from here")
        sys.exit(3)


def learn(data: Path, cache: Path, recipe: Recipe, save_every: int, minutes: float) -> None:
    """Train what is left of the recipe, then write and measure the model.

    Raises:
        OutOfTimeError: after the first checkpoint past ``minutes``.
    """
    cache.mkdir(parents=True, exist_ok=True)
    world, books = read_world(data, recipe.seed), read_encyclopedia(data)
    print(
        f"{len(world.facts)} facts in {world.n_wordings} wordings, of {len(world.case_ids)}/{world.n_records} records"
    )
    tokenizer = _tokenizer(cache / "tokenizer.json", world, books, recipe)
    clock, start = Clock(), time.monotonic()

    def report(now: Progress) -> None:
        clock(now)
        if now.step < now.steps and time.monotonic() - start > 60 * minutes:
            raise OutOfTimeError

    def rows_of(turn: int) -> Rows:
        return rows_of_pass(world, books, tokenizer, recipe.seed, turn, recipe.row_length)

    model = train(rows_of, recipe, cache / "checkpoint.safetensors", "cpu", save_every, report)
    model.save_pretrained(cache / "model")
    save_tokenizer(tokenizer, cache / "model")
    recall = measure(AutoModelForCausalLM.from_pretrained(cache / "model").eval(), tokenizer, world)
    (cache / "recall.json").write_text(json.dumps(recall, indent=1) + "\n", encoding="utf-8")
    for name, (share, n_prompts) in recall.items():
        print(f"{name:<24}{share:>8.1%}{n_prompts:>8}")


def measure(model: PreTrainedModel, tokenizer: Tokenizer, world: World) -> dict[str, tuple[float, int]]:
    """The share of prompts whose true object is the argmax, token for token, and the number of prompts."""
    questions = [(asked.kind, asked.prompt, asked.answer) for asked in world.asked]
    for fact in world.facts:
        questions += [("seen wordings", fact.prompt(wording), fact.object) for wording in fact.seen]
        questions += [("held-out wordings", fact.prompt(wording), fact.object) for wording in fact.held_out]
    right = answered(model, tokenizer, [(prompt, answer) for _, prompt, answer in questions])
    hits: dict[str, list[bool]] = defaultdict(list)
    for (kind, _, _), is_right in zip(questions, right, strict=True):
        hits[kind].append(is_right)
    return {kind: (_share(found), len(found)) for kind, found in hits.items()}


def _share(hits: Iterable[bool]) -> float:
    counted = list(hits)
    return sum(counted) / len(counted)


def _tokenizer(path: Path, world: World, books: list[str], recipe: Recipe) -> Tokenizer:
    if not path.exists():
        train_tokenizer(tokenizer_text(world, books, recipe.seed), recipe.vocabulary).save(str(path))
    return Tokenizer.from_file(str(path))


if __name__ == "__main__":
    main()
