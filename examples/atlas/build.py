"""Make the demo base: `python examples/atlas/build.py --out DIR`.

Invents the world, trains a tokenizer and a small language model on sentences about it, measures
what the model answers, and writes the folder that the package ships. Stop it at any time: the
same command goes on from the last checkpoint and ends with the same weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer

from corpus import Rows, rows_of_pass, tokenizer_text
from ship import ship
from tokens import train_tokenizer
from train import Progress, Recipe, train
from world import World, build_world


def main() -> None:
    """Parse, train, ship; progress goes to standard error."""
    options = _options()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recipe = Recipe(
        seed=options.seed,
        family=options.family,
        layers=options.layers,
        width=options.width,
        inner=options.inner,
        vocabulary=options.vocabulary,
        steps=options.steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        heads=options.heads,
    )
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    world = build_world(recipe.seed)
    tokenizer = _tokenizer(work / "tokenizer.json", world, recipe)
    checkpoint = work / "checkpoint.safetensors"
    every, device = options.save_every, options.device

    def rows_of(turn: int) -> Rows:
        return rows_of_pass(world, tokenizer, recipe.mix, recipe.seed, turn, recipe.row_length)

    model = train(rows_of, recipe, checkpoint, device, every, Clock())
    figures = ship(options.out, world, tokenizer, model, recipe)
    for name, share in figures.items():
        print(f"{name}: {share:.1%}", file=sys.stderr)


class Clock:
    """Prints each progress report with the time taken and the time left."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first: int | None = None

    def __call__(self, now: Progress) -> None:
        spent = time.monotonic() - self._started
        first = self._first = now.step if self._first is None else self._first
        pace = f", {spent / 60:.1f} min"
        if now.step > first:
            left = (now.steps - now.step) * spent / now.step
            pace += f", about {left / 60:.0f} min left"
        print(f"step {now.step}/{now.steps}, loss {now.loss:.3f}{pace}", file=sys.stderr)


def _tokenizer(path: Path, world: World, recipe: Recipe) -> Tokenizer:
    if not path.exists():
        text = tokenizer_text(world, recipe.seed)
        train_tokenizer(text, recipe.vocabulary).save(str(path))
    return Tokenizer.from_file(str(path))


def _options() -> argparse.Namespace:
    recipe = Recipe()
    parser = argparse.ArgumentParser(description="Train the demo base of patchmgr.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--device", default="cpu", help="cpu (reproducible) or cuda")
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--family", choices=("llama", "gpt2"), default=recipe.family)
    parser.add_argument("--layers", type=int, default=recipe.layers)
    parser.add_argument("--width", type=int, default=recipe.width)
    parser.add_argument("--inner", type=int, default=recipe.inner, help="width of the MLPs")
    parser.add_argument("--vocabulary", type=int, default=recipe.vocabulary)
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    parser.add_argument("--weight-decay", type=float, default=recipe.weight_decay)
    parser.add_argument("--heads", type=int, default=recipe.heads)
    parser.add_argument("--save-every", type=int, default=50, help="steps between checkpoints")
    return parser.parse_args()


if __name__ == "__main__":
    main()
