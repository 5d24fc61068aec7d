"""Make the base of the tasks: `python examples/tasks/base.py --out DIR`.

The demo base goes on learning: the worlds of fact checking and of opinions, questions of QA-hard, and to follow a fact
that stands in front of a question, which the demo base itself does not. Stop it at any time: the same command goes on
from the last checkpoint. DIR gets a checkpoint that transformers loads, and `figures.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from patchmgr.demo.world import atlas_folder
from transformers import AutoModelForCausalLM, AutoTokenizer

from figures import figures
from learn import learn


def main() -> None:
    """Parse, train, save, measure what was saved; progress goes to standard error."""
    parser = argparse.ArgumentParser(description="Train the base of the four tasks.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(atlas_folder())
    model = AutoModelForCausalLM.from_pretrained(atlas_folder(), dtype=torch.float32)
    learn(model, tokenizer.backend_tokenizer, given.steps, given.learning_rate, given.seed, given.out / "checkpoint")
    model.to(torch.bfloat16).save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)
    found = figures(model.float(), tokenizer.backend_tokenizer)
    (given.out / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, share in found.items():
        print(f"{name}: {share:.3f}", file=sys.stderr)


if __name__ == "__main__":
    main()
