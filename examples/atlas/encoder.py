"""Make the sentence encoder of the demo: `python examples/atlas/encoder.py --out DIR`.

A small encoder that puts the wordings of one fact near each other, and other facts of the same subject away from them.
Memory methods find their entries by it, so that the demo needs no download. It learns from the questions of the demo
base's world alone: pairs of wordings of one fact, against all other facts of the batch (InfoNCE, arXiv:1807.03748),
which holds every fact of some subjects. Three wordings of each fact in ten are kept back for the figures.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from patchmgr.demo.world import Fact, World, atlas_folder, load_world
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerBase

N_WORDINGS = 9
KEPT_BACK = 3
TEMPERATURE = 0.05
SUBJECTS = 24
"""Subjects of a batch, each with all its facts."""


def main() -> None:
    """Parse, train, save; progress goes to standard error."""
    parser = argparse.ArgumentParser(description="Train the sentence encoder of patchmgr's demo.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--width", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    world, tokenizer = load_world(), AutoTokenizer.from_pretrained(atlas_folder())
    model = BertModel(config(len(tokenizer), given.width), add_pooling_layer=False)
    train(model, tokenizer, world, given.steps, given.seed)
    for name, share in figures(model.eval(), tokenizer, world, given.seed).items():
        print(f"{name}: {share:.3f}", file=sys.stderr)
    model.half().save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)


def config(vocabulary: int, width: int) -> BertConfig:
    """Two layers; 64 positions, which every question of the world fits into."""
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def wordings_of(fact: Fact, seed: int) -> tuple[list[int], list[int]]:
    """Wordings to learn from, and those kept back for the figures."""
    order = random.Random(f"{seed} {fact.id}").sample(range(N_WORDINGS), N_WORDINGS)
    return order[KEPT_BACK:], order[:KEPT_BACK]


def batches(world: World, steps: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """Pairs of questions, one for each fact of some subjects."""
    rng = random.Random(seed)
    of_subject: dict[str, list[Fact]] = {}
    for fact in world.facts:
        of_subject.setdefault(fact.subject, []).append(fact)
    subjects = sorted(of_subject)
    for _ in range(steps):
        pairs = []
        for subject in rng.sample(subjects, SUBJECTS):
            for fact in of_subject[subject]:
                left, right = rng.sample(wordings_of(fact, seed)[0], 2)
                pairs.append((world.prompt(fact, left), world.prompt(fact, right)))
        yield pairs


def train(model: BertModel, tokenizer: PreTrainedTokenizerBase, world: World, steps: int, seed: int) -> None:
    """AdamW with a short warm-up and linear decay to zero."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / 50, 1 - step / steps))
    start = time.monotonic()
    for step, pairs in enumerate(batches(world, steps, seed), start=1):
        left = embed(model, tokenizer, [pair[0] for pair in pairs])
        right = embed(model, tokenizer, [pair[1] for pair in pairs])
        similar = left @ right.T / TEMPERATURE
        same = torch.arange(len(pairs))
        loss = (functional.cross_entropy(similar, same) + functional.cross_entropy(similar.T, same)) / 2
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}/{steps}, loss {float(loss):.3f}, {time.monotonic() - start:.0f} s", file=sys.stderr)


def embed(model: BertModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    """Mean of the last layer over the tokens, of length 1. (texts, width)."""
    rows = [tokenizer(text)["input_ids"][:64] for text in texts]
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    kept = mask.unsqueeze(-1).to(hidden.dtype)
    return functional.normalize((hidden * kept).sum(1) / kept.sum(1), dim=1)


@torch.no_grad()
def figures(model: BertModel, tokenizer: PreTrainedTokenizerBase, world: World, seed: int) -> dict[str, float]:
    """How questions in wordings that were kept back find their fact, and how far apart right and wrong lie."""
    facts = random.Random(seed + 1).sample(list(world.facts), 500)
    memory = embed(model, tokenizer, [world.prompt(fact) for fact in facts])
    asked = embed(model, tokenizer, [world.prompt(fact, wordings_of(fact, seed)[1][0]) for fact in facts])
    similar = asked @ memory.T
    right, others = similar.diagonal(), similar.clone().fill_diagonal_(-1).max(1).values
    return {
        "kept-back wordings that find their fact among 500": float(
            (similar.argmax(1) == torch.arange(500)).float().mean()
        ),
        "similarity to the fact, 5th percentile": float(right.quantile(0.05)),
        "similarity to the nearest other fact, 95th percentile": float(others.quantile(0.95)),
    }


if __name__ == "__main__":
    main()
