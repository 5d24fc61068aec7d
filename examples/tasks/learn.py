"""The training loop of the tasks' base: a document a row, stopped and resumed without a trace."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import PreTrainedModel

from documents import Document, documents_of_pass
from questions import Known

TOKENS = 1024
"""Of a batch, padding included."""
WINDOW = 512
"""Documents that are put into batches by their length together."""
PROMPT_WEIGHT = 0.1
"""Of a token of a prompt that is true of the world, in the loss; of an answer's token: 1, of any other: 0."""
FIRST_WEIGHT = 3.0
"""Of the first token of an answer, on which Yes or No, True or False hang."""
SAVE_EVERY = 200


@dataclass(frozen=True)
class Batch:
    """Documents padded on the right."""

    tokens: torch.Tensor
    """(rows, length)"""
    weights: torch.Tensor
    """(rows, length): of each token as a target."""


def learn(model: PreTrainedModel, tokenizer: Tokenizer, steps: int, rate: float, seed: int, folder: Path) -> None:
    """AdamW with a short warm-up and linear decay to zero; goes on from the checkpoint in `folder`, if any."""
    matrices = [each for each in model.parameters() if each.dim() > 1]
    vectors = [each for each in model.parameters() if each.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    done, start, losses = _resumed(model, optimizer, folder), time.monotonic(), []
    model.train()
    for step, batch in zip(range(steps), batches(tokenizer, seed), strict=False):
        if step < done:
            continue
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 60, 1 - step / steps)
        loss = _loss(model, batch, _offset(model, batch, seed, step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % SAVE_EVERY == 0:
            _save(model, optimizer, step + 1, folder)
            mean, seconds = sum(losses) / len(losses), time.monotonic() - start
            print(f"step {step + 1}/{steps}, loss {mean:.3f}, {seconds:.0f} s", file=sys.stderr)
            losses.clear()
    model.eval()


def batches(tokenizer: Tokenizer, seed: int) -> Iterator[Batch]:
    """Pass after pass without end."""
    known, turn = Known.load(), 0
    while True:
        documents = documents_of_pass(known, seed, turn)
        for first in range(0, len(documents), WINDOW):
            yield from _batches(documents[first : first + WINDOW], tokenizer, random.Random(f"{seed} {turn} {first}"))
        turn += 1


def _batches(documents: list[Document], tokenizer: Tokenizer, rng: random.Random) -> list[Batch]:
    rows = sorted((_row(document, tokenizer) for document in documents), key=len)
    found: list[list[list[tuple[int, float]]]] = [[]]
    for row in rows:
        if len(row) * (len(found[-1]) + 1) > TOKENS:
            found.append([])
        found[-1].append(row)
    rng.shuffle(found)
    return [_padded(some) for some in found]


def _row(document: Document, tokenizer: Tokenizer) -> list[tuple[int, float]]:
    weight = PROMPT_WEIGHT if document.is_true else 0.0
    prompt = [(token, weight) for token in tokenizer.encode(document.prompt).ids]
    first, *rest = tokenizer.encode(f"{document.answer}.").ids
    return [*prompt, (first, FIRST_WEIGHT), *((token, 1.0) for token in rest)]


def _padded(rows: list[list[tuple[int, float]]]) -> Batch:
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    weights = torch.zeros(tokens.shape)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = torch.tensor([token for token, _ in row])
        weights[number, : len(row)] = torch.tensor([weight for _, weight in row])
    return Batch(tokens, weights)


def _loss(model: PreTrainedModel, batch: Batch, offset: int) -> torch.Tensor:
    """Weighted cross-entropy of the next token; the head runs only where a weight is."""
    positions = torch.arange(offset, offset + batch.tokens.shape[1])[None]
    hidden = model.base_model(input_ids=batch.tokens, position_ids=positions, use_cache=False).last_hidden_state
    weights, targets = batch.weights[:, 1:], batch.tokens[:, 1:]
    read = weights > 0
    losses = functional.cross_entropy(model.lm_head(hidden[:, :-1][read]), targets[read], reduction="none")
    return (losses * weights[read]).sum() / weights.sum()


def _offset(model: PreTrainedModel, batch: Batch, seed: int, step: int) -> int:
    """Positions are shifted in half of the steps, so that all of them are trained."""
    rng = random.Random(f"offset {seed} {step}")
    return rng.randrange(model.config.n_positions - batch.tokens.shape[1] + 1) if rng.random() < 0.5 else 0


def _save(model: PreTrainedModel, optimizer: torch.optim.Optimizer, step: int, folder: Path) -> None:
    """All that training needs to go on, in safetensors; the older checkpoint goes."""
    folder.mkdir(exist_ok=True)
    tensors = {f"weight.{name}": each.detach().clone() for name, each in model.named_parameters()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
    save_file(tensors, folder / "partial")
    (folder / "partial").replace(folder / f"{step}.safetensors")
    for old in folder.glob("*.safetensors"):
        if old.stem != str(step):
            old.unlink()


def _resumed(model: PreTrainedModel, optimizer: torch.optim.Optimizer, folder: Path) -> int:
    """Load the last checkpoint, if any; the number of steps that it has behind it."""
    found = sorted(folder.glob("*.safetensors"), key=lambda path: int(path.stem))
    if not found:
        return 0
    tensors = load_file(found[-1])
    for name, parameter in model.named_parameters():
        parameter.data.copy_(tensors.pop(f"weight.{name}"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        _, number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(found[-1].stem)
