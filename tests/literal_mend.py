"""MEND and MALMEN as they are written down: float64, one edit a pass, one token at a time, matrices made whole.

Nothing here is shared with the plugin but the tokenizer and the form of the editor's files.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from patchmgr.request import EditRequest

EPSILON = 1e-7

Token = tuple[Tensor, Tensor]
"""u and δ."""


class LiteralMend:
    """An editor's networks at work on a model."""

    def __init__(self, model: Any, tokenizer: Any, files: Mapping[str, Path]) -> None:
        self.tokenizer, self.model = tokenizer, copy.deepcopy(model).double()
        self.record = json.loads(files["networks.json"].read_bytes())
        self.tensors = {name: value.double() for name, value in load_file(files["networks.safetensors"]).items()}
        self.names = [site["name"] for site in self.record["sites"]]

    def edit(self, requests: Sequence[EditRequest], how: str, ridge: float | None = None) -> dict[str, Tensor]:
        """ΔW (d_out, d_in) of every map."""
        tokens: dict[str, list[Token]] = {name: [] for name in self.names}
        for request in requests:
            for name, found in self.tokens(request).items():
                tokens[name] += found
        return {name: self._delta(index, tokens[name], how, ridge) for index, name in enumerate(self.names)}

    def tokens(self, request: EditRequest) -> dict[str, list[Token]]:
        """u and δ of the tokens at each map that have both."""
        traces = self.traces(request)
        return {
            name: [(u, delta) for u, delta in zip(*traces[name], strict=True) if bool(u.any()) and bool(delta.any())]
            for name in self.names
        }

    def traces(self, request: EditRequest) -> dict[str, tuple[Tensor, Tensor]]:
        """(u, δ) at all tokens of each map; the gradients of the weights lie in the model afterwards."""
        inputs: dict[str, Tensor] = {}
        outputs: dict[str, Tensor] = {}

        def hook(name: str) -> Any:
            def keep(_module: Any, given: Any, output: Tensor) -> None:
                output.retain_grad()
                inputs[name], outputs[name] = given[0], output

            return keep

        handles = [self.model.get_submodule(name).register_forward_hook(hook(name)) for name in self.names]
        self.model.zero_grad()
        self.loss(request).backward()
        for handle in handles:
            handle.remove()
        return {name: (inputs[name].detach().flatten(0, -2), outputs[name].grad.flatten(0, -2)) for name in self.names}

    def loss(self, request: EditRequest) -> Tensor:
        """Mean −log P of the target's tokens."""
        prompt = self.tokenizer(request.text)["input_ids"]
        if self.model.config.is_encoder_decoder:
            targets = self.tokenizer(request.target_new)["input_ids"]
            before = torch.tensor([[self.model.config.decoder_start_token_id, *targets[:-1]]])
            logits = self.model(input_ids=torch.tensor([prompt]), decoder_input_ids=before).logits[0]
        else:
            whole = self.tokenizer(f"{request.text} {request.target_new}")["input_ids"]
            targets = whole[len(prompt) :]
            logits = self.model(input_ids=torch.tensor([whole[:-1]])).logits[0, len(prompt) - 1 :]
        return nn.functional.cross_entropy(logits, torch.tensor(targets))

    def gradient(self, name: str) -> Tensor:
        """Of a map's weight, (d_out, d_in), as autograd left it."""
        module = self.model.get_submodule(name)
        return module.weight.grad.T if isinstance(module, Conv1D) else module.weight.grad

    def network(self, index: int, token: Token) -> Token:
        """ũ and δ̃ of one token."""
        site = self.record["sites"][index]
        shape = f"{site['d_in']}x{site['d_out']}"
        same = [other["name"] for other in self.record["sites"] if (other["d_in"], other["d_out"]) == self._shape(site)]
        mode, own = same.index(site["name"]), f"by_shape.{shape}."
        mean, squares = self.tensors[f"{own}mean"], self.tensors[f"{own}squares"]
        count = float(self.tensors[f"{own}n_tokens"])
        h = torch.cat(token)
        std = (squares / (count - 1)).sqrt()
        h = torch.where(std > 0, (h - mean) / (std + EPSILON), torch.zeros_like(h))
        for layer in range(2):
            U, V, b, scale, shift = (self.tensors[f"{own}{part}.{layer}"] for part in ("U", "V", "b", "scale", "shift"))
            h = h + torch.relu((U @ (V @ h) + b) * scale[mode] + shift[mode])
        return h[: site["d_in"]], h[site["d_in"] :]

    @staticmethod
    def _shape(site: dict[str, Any]) -> tuple[int, int]:
        return site["d_in"], site["d_out"]

    def _delta(self, index: int, tokens: Sequence[Token], how: str, ridge: float | None) -> Tensor:
        rate = self.tensors["rates"][index]
        made = [(u, *self.network(index, (u, delta))) for u, delta in tokens]
        if how == "sum":
            return -rate * sum(torch.outer(delta_tilde, u_tilde) for _, u_tilde, delta_tilde in made)
        lambda_ = self.tensors["log_ridges"][index].exp() if ridge is None else ridge
        return ridge_change([(u, -rate * (u @ u_tilde) * delta_tilde) for u, u_tilde, delta_tilde in made], lambda_)


def ridge_change(pairs: Sequence[tuple[Tensor, Tensor]], lambda_: Any) -> Tensor:
    """The ΔW (d_out, d_in) that minimises Σ ‖ΔW u − d‖² + λ‖ΔW‖² over pairs (u, d), by its normal equations."""
    d_in, d_out = len(pairs[0][0]), len(pairs[0][1])
    gram, right = torch.zeros(d_in, d_in).double(), torch.zeros(d_in, d_out).double()
    for u, d in pairs:
        gram += torch.outer(u, u)
        right += torch.outer(u, d)
    return torch.linalg.solve(gram + lambda_ * torch.eye(d_in).double(), right).T


def welford(rows: Sequence[Tensor]) -> tuple[int, Tensor, Tensor]:
    """Count, mean and summed squares of deviation, a row at a time."""
    count, mean, squares = 0, torch.zeros_like(rows[0]), torch.zeros_like(rows[0])
    for row in rows:
        count += 1
        after = mean + (row - mean) / count
        mean, squares = after, squares + (row - mean) * (row - after)
    return count, mean, squares
