"""The model and its training loop: seeded, one thread, stopped and resumed without a trace."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from corpus import Mix, Rows

N_POSITIONS = 256


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 7
    family: str = "gpt2"
    layers: int = 6
    width: int = 128
    inner: int = 512
    heads: int = 4
    vocabulary: int = 2000
    steps: int = 5000
    rows: int = 16
    row_length: int = 64
    learning_rate: float = 5e-3
    warm_up: float = 0.05
    weight_decay: float = 0.1
    clip: float = 1.0
    mix: Mix = field(default_factory=Mix)


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step."""

    step: int
    steps: int
    loss: float


def new_model(recipe: Recipe, end_id: int) -> PreTrainedModel:
    """An untrained model of the recipe's architecture, with seeded weights."""
    torch.manual_seed(recipe.seed)
    ends = {"bos_token_id": end_id, "eos_token_id": end_id, "pad_token_id": None}
    if recipe.family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=recipe.vocabulary,
                n_positions=N_POSITIONS,
                n_embd=recipe.width,
                n_inner=recipe.inner,
                n_layer=recipe.layers,
                n_head=recipe.heads,
                activation_function="gelu_pytorch_tanh",
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                **ends,
            )
        )
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            max_position_embeddings=N_POSITIONS,
            hidden_size=recipe.width,
            intermediate_size=recipe.inner,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            **ends,
        )
    )


def train(
    rows_of: Callable[[int], Rows],
    recipe: Recipe,
    checkpoint: Path,
    device: str,
    save_every: int,
    report: Callable[[Progress], None],
) -> PreTrainedModel:
    """Train to the last step, going on from `checkpoint` where there is one.

    `rows_of` gives the rows of a pass by its number, and always the same for the same number.
    """
    model = new_model(recipe, end_id=0).to(device).train()
    optimizer = _optimizer(model, recipe)
    start = _restore(checkpoint, recipe, model, optimizer)
    turn, first, rows = -1, 0, None
    for step in range(recipe.steps):
        while rows is None or step >= first + len(rows.tokens) // recipe.rows:
            first += len(rows.tokens) // recipe.rows if rows else 0
            turn += 1
            rows = rows_of(turn)
        if step < start:
            continue
        batch = slice((step - first) * recipe.rows, (step - first + 1) * recipe.rows)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _rate(recipe, step)
        offset = _position_offset(recipe, step)
        loss = _loss(model, Rows(rows.tokens[batch], rows.weights[batch]), offset, device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            _save(checkpoint, recipe, step + 1, model, optimizer)
            report(Progress(step + 1, recipe.steps, loss.item()))
    return model.eval()


def _loss(model: PreTrainedModel, rows: Rows, offset: int, device: str) -> torch.Tensor:
    """Cross-entropy of the next token, weighted by the weight of that token."""
    tokens, weights = rows.tokens.to(device), rows.weights[:, 1:].to(device)
    positions = torch.arange(offset, offset + tokens.shape[1], device=device)[None]
    logits = model(input_ids=tokens, position_ids=positions, use_cache=False).logits[:, :-1]
    losses = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def _position_offset(recipe: Recipe, step: int) -> int:
    """Learned positions are shifted in half of the steps, so that all of them are trained."""
    rng = random.Random(f"offset {recipe.seed} {step}")
    if recipe.family != "gpt2" or rng.random() < 0.5:
        return 0
    return rng.randrange(N_POSITIONS - recipe.row_length + 1)


def _optimizer(model: PreTrainedModel, recipe: Recipe) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))


def _rate(recipe: Recipe, step: int) -> float:
    """The share of the learning rate at a step: a short warm-up, then a line down to zero."""
    warm_up = max(1, int(recipe.steps * recipe.warm_up))
    return min((step + 1) / warm_up, (recipe.steps - step) / (recipe.steps - warm_up))


def _save(path: Path, recipe: Recipe, step: int, model: PreTrainedModel, optimizer: torch.optim.AdamW) -> None:
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach().cpu().contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment].cpu().contiguous()
    metadata = {"step": str(step), "recipe": json.dumps(asdict(recipe), sort_keys=True)}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.replace(path)


def _restore(
    path: Path,
    recipe: Recipe,
    model: PreTrainedModel,
    optimizer: torch.optim.AdamW,
) -> int:
    """Load the checkpoint, if any; the number of steps that it has behind it."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if metadata["recipe"] != json.dumps(asdict(recipe), sort_keys=True):
            raise ValueError(f"{path} was made by another recipe; choose another --out")
        step = int(metadata["step"])
        for name, parameter in model.named_parameters():
            parameter.data.copy_(file.get_tensor(f"weight.{name}"))
            moments = {m: file.get_tensor(f"{m}.{name}") for m in ("exp_avg", "exp_avg_sq")}
            moments = {m: tensor.to(parameter.device) for m, tensor in moments.items()}
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step
