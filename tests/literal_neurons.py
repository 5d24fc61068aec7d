"""Knowledge Neurons as they are written down: float64, whole passes, one step of the integral at a time.

Nothing here is shared with the plugin but the tokenizer and the place of the down-projection.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest


def literal_scores(model: Any, tokenizer: Any, text: str, answer: str | None, n_tokens: int, steps: int) -> Tensor:
    """Mean over the answer's tokens (the model's own ``n_tokens`` if None) of integrated gradients. (layers, d_in)."""
    model = copy.deepcopy(model).double()
    ids = tokenizer(text)["input_ids"]
    tokens = literal_answer(model, ids, n_tokens) if answer is None else tokens_behind(tokenizer, text, answer)
    layers = range(len(find_architecture(model).blocks))
    found = []
    for token in tokens:
        found.append(torch.stack([_layer(model, ids, token, layer, steps) for layer in layers]))
        ids = ids + literal_answer(model, ids, 1)
    return torch.stack(found).mean(0)


def tokens_behind(tokenizer: Any, text: str, answer: str) -> list[int]:
    return tokenizer(f"{text} {answer}")["input_ids"][len(tokenizer(text)["input_ids"]) :]


def literal_answer(model: Any, ids: list[int], n_tokens: int) -> list[int]:
    said: list[int] = []
    for _ in range(n_tokens):
        with torch.no_grad():
            said.append(int(model(input_ids=torch.tensor([ids + said])).logits[0, -1].argmax()))
    return said


def _layer(model: Any, ids: list[int], token: int, layer: int, steps: int) -> Tensor:
    activation = _run(model, ids, layer, None)[1]
    total = torch.zeros_like(activation)
    for step in range(steps):
        share = step / (steps - 1) if steps > 1 else 0.0
        scaled = (share * activation).requires_grad_()
        logits, _ = _run(model, ids, layer, scaled)
        total += torch.autograd.grad(logits.softmax(-1)[token], scaled)[0]
    return activation * total / steps


def _run(model: Any, ids: list[int], layer: int, instead: Tensor | None) -> tuple[Tensor, Tensor]:
    """The last logits, and what goes into the down-projection at the last token; ``instead`` of it, if given."""
    seen: list[Tensor] = []

    def hook(_module: Any, inputs: Any) -> Any:
        flat = inputs[0].reshape(-1, inputs[0].shape[-1])
        seen.append(flat[-1].detach())
        return None if instead is None else (torch.cat([flat[:-1], instead.unsqueeze(0)]).reshape(inputs[0].shape),)

    handle = find_architecture(model).down_projection(layer).module.register_forward_pre_hook(hook)
    try:
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    finally:
        handle.remove()
    return logits, seen[0]


def literal_columns(model: Any, tokenizer: Any, request: EditRequest, neurons: Tensor, settings: Any) -> list[Tensor]:
    """ΔW (d_out, d_in) of every layer: twice the new answer's embedding for twice that of what the model says."""
    model = copy.deepcopy(model).double()
    E = model.get_input_embeddings().weight.detach()
    new = tokens_behind(tokenizer, request.text, request.target_new)
    old = literal_answer(model, tokenizer(request.text)["input_ids"], len(new))
    halves = 1 if len(new) == 1 else 2
    value = sum(settings.new_weight / halves * E[token] for token in new)
    value = value - sum(settings.old_weight / halves * E[token] for token in old)
    return [torch.outer(value, own.double()) for own in neurons]
