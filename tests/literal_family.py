"""MEMIT and the methods after it as they are written down: float64, one text at a time, whole passes, written weights.

Nothing here is shared with the plugins but the tokenizer: what they give must equal what this gives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest

Update = Callable[[int, Tensor, Tensor], Tensor]
"""(layer, K (d_in, n), R (d_out, n)) → ΔW (d_out, d_in)."""
Sites = Callable[[Any, int], Sequence[nn.Module]]
"""(model, layer) → the modules that a δ each is added to; the output of the last is aimed at."""


def whole_block(model: Any, layer: int) -> Sequence[nn.Module]:
    """As in MEMIT."""
    return [find_architecture(model).blocks[layer]]


def literal_deltas(
    model: Any,
    tokenizer: Any,
    layers: Sequence[int],
    templates: Sequence[str],
    requests: Sequence[EditRequest],
    settings: dict[str, float],
    update: Update,
    sites: Sites = whole_block,
    divisor: Callable[[int], float] = float,
) -> dict[int, Tensor]:
    """ΔW of every layer; each is written into a float64 copy of the model before the next layer is read."""
    model = copy.deepcopy(model).double()
    aims = sites(model, layers[-1])
    top = aims[-1]
    wanted = [literal_value(model, tokenizer, aims, templates, request, settings) for request in requests]
    deltas = {}
    for index, layer in enumerate(layers):
        projection = find_architecture(model).down_projection(layer)
        keys, lacking = [], []
        for request, z in zip(requests, wanted, strict=True):
            seen = [literal_read(model, tokenizer, projection.module, top, template, request) for template in templates]
            others = [key for key, _ in seen[1:]]
            keys.append((seen[0][0] + sum(others) / len(others)) / 2 if others else seen[0][0])
            lacking.append((z - seen[0][1]) / divisor(len(layers) - index))
        deltas[layer] = update(layer, torch.stack(keys, 1), torch.stack(lacking, 1))
        with torch.no_grad():
            delta = deltas[layer] if isinstance(projection.module, nn.Linear) else deltas[layer].T
            projection.module.weight.add_(delta)
    return deltas


def literal_read(
    model: Any, tokenizer: Any, inner: nn.Module, block: nn.Module, template: str, request: EditRequest
) -> tuple[Tensor, Tensor]:
    """The input of ``inner`` and the output of ``block`` at the last token of the subject."""
    end = template.index("{}") + request.subject_end
    ids = tokenizer(template.replace("{}", request.text)[:end])["input_ids"]
    seen: dict[str, Tensor] = {}

    def went_in(_module: nn.Module, inputs: Any) -> None:
        seen["key"] = inputs[0].reshape(len(ids), -1)[-1].detach()

    def came_out(_module: nn.Module, _inputs: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        seen["hidden"] = tensor.reshape(len(ids), -1)[-1].detach()

    handles = inner.register_forward_pre_hook(went_in), block.register_forward_hook(came_out)
    with torch.no_grad():
        model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return seen["key"], seen["hidden"]


def literal_value(
    model: Any,
    tokenizer: Any,
    sites: Sequence[nn.Module],
    templates: Sequence[str],
    request: EditRequest,
    settings: dict[str, float],
) -> Tensor:
    """Z of one edit at the last of the sites, by torch's Adam."""
    starts = [literal_read(model, tokenizer, site, site, "{}", request)[1] for site in sites]
    deltas = [torch.zeros_like(start, requires_grad=True) for start in starts]
    adam = torch.optim.Adam(deltas, lr=settings["learning_rate"])
    essence = f"{request.subject} is a"

    def essence_logits(changes: Sequence[Tensor]) -> Tensor:
        at = len(tokenizer(request.subject)["input_ids"]) - 1
        return logits_with(model, tokenizer, sites, essence, at, changes)[at]

    before = essence_logits([torch.zeros_like(delta) for delta in deltas]).softmax(0).detach()
    weight = 1.0
    for step in range(int(settings["steps"])):
        loss, sure = torch.zeros((), dtype=torch.float64), True
        for template in templates:
            prompt = template.replace("{}", request.text)
            text = f"{prompt} {request.target_new}"
            ids, n_prompt = tokenizer(text)["input_ids"], len(tokenizer(prompt)["input_ids"])
            at = len(tokenizer(text[: template.index("{}") + request.subject_end])["input_ids"]) - 1
            log_p = logits_with(model, tokenizer, sites, text, at, deltas).log_softmax(-1)
            said = [log_p[position - 1, ids[position]] for position in range(n_prompt, len(ids))]
            sure &= all(log_p[position - 1].argmax() == ids[position] for position in range(n_prompt, len(ids)))
            loss = loss - sum(said) / len(said) / len(templates)
        after = essence_logits(deltas).softmax(0)
        drift = settings["kl_factor"] * (after * (after.log() - before.log())).sum()
        loss = weight * loss + drift
        for delta, start in zip(deltas, starts, strict=True):
            loss = loss + settings["weight_decay"] * delta.norm() / start.norm() ** 2
        arrived = sure and drift <= settings.get("sure_drift", -1.0)
        if loss < settings["stop_loss"] or arrived or step == int(settings["steps"]) - 1:
            break
        weight = settings.get("sure_weight", 1.0) if sure else 1.0
        for delta, gradient in zip(deltas, torch.autograd.grad(loss, deltas), strict=True):
            delta.grad = gradient
        adam.step()
        with torch.no_grad():
            for delta, start in zip(deltas, starts, strict=True):
                longest = settings["clamp"] * start.norm()
                if delta.norm() > longest:
                    delta.mul_(longest / delta.norm())
    return (starts[-1] + deltas[-1]).detach()


def logits_with(
    model: Any, tokenizer: Any, sites: Sequence[nn.Module], text: str, at: int, deltas: Sequence[Tensor]
) -> Tensor:
    """Logits of a text, (tokens, vocabulary), with a δ each added to the outputs of the sites at one token."""

    def adding(delta: Tensor) -> Callable[..., Any]:
        def add(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            place = torch.zeros(hidden.shape[-2], 1, dtype=hidden.dtype)
            place[at] = 1
            changed = hidden + place * delta
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return add

    handles = [site.register_forward_hook(adding(delta)) for site, delta in zip(sites, deltas, strict=True)]
    try:
        logits: Tensor = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    return logits
