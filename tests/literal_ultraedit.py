"""UltraEdit as it is written down: float64, one edit a pass, gradients by autograd on whole passes, Welford row by row.

Nothing here is shared with the plugin but the tokenizer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from patchmgr.request import EditRequest

EPSILON = 2.0**-23


class LiteralUltraEdit:
    """The running statistics live in the object, whatever model it goes on with."""

    def __init__(self, model: Any, tokenizer: Any, names: Sequence[str]) -> None:
        self.tokenizer, self.names = tokenizer, names
        self.on(model)
        self.running: dict[tuple[int, int], tuple[int, Tensor, Tensor]] = {}

    def edit(
        self, requests: Sequence[EditRequest], rates: dict[str, float], ridge: float, tokens: str = "all"
    ) -> dict[str, Tensor]:
        """ΔW (d_out, d_in) of every module."""
        traces: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in self.modules}
        for request in requests:
            for name, (K, G) in self._trace(request, tokens).items():
                traces[name].append((K, G))
                for row in torch.cat([K, G], 1):
                    self._count(self._shape(name), row)
        return {name: self._delta(name, traces[name], rates[name], ridge) for name in self.modules}

    def on(self, model: Any) -> None:
        """Go on with other weights."""
        self.model = copy.deepcopy(model).double()
        self.modules = {name: self.model.get_submodule(name) for name in self.names}

    def _shape(self, name: str) -> tuple[int, int]:
        shape = tuple(self.modules[name].weight.shape)
        return shape if isinstance(self.modules[name], Conv1D) else shape[::-1]

    def _trace(self, request: EditRequest, tokens: str) -> dict[str, tuple[Tensor, Tensor]]:
        prompt = self.tokenizer(request.text)["input_ids"]
        whole = self.tokenizer(f"{request.text} {request.target_new}")["input_ids"]
        inputs: dict[str, Tensor] = {}
        outputs: dict[str, Tensor] = {}

        def hook(name: str) -> Any:
            def keep(_module: Any, given: Any, output: Tensor) -> None:
                inputs[name], outputs[name] = given[0], output

            return keep

        handles = [module.register_forward_hook(hook(name)) for name, module in self.modules.items()]
        logits = self.model(input_ids=torch.tensor([whole[:-1]]), use_cache=False).logits[0]
        for handle in handles:
            handle.remove()
        targets = torch.tensor(whole[len(prompt) :])
        loss = nn.functional.cross_entropy(logits[len(prompt) - 1 :], targets, reduction="sum")
        gradients = torch.autograd.grad(loss, [outputs[name] for name in self.modules])
        first = 0 if tokens == "all" else len(prompt) - 1
        return {
            name: (
                inputs[name].detach().reshape(len(whole) - 1, -1)[first:],
                gradient.reshape(len(whole) - 1, -1)[first:],
            )
            for name, gradient in zip(self.modules, gradients, strict=True)
        }

    def _count(self, shape: tuple[int, int], row: Tensor) -> None:
        n, mean, squares = self.running.get(shape, (0, torch.zeros_like(row), torch.zeros_like(row)))
        new_mean = mean + (row - mean) / (n + 1)
        self.running[shape] = (n + 1, new_mean, squares + (row - mean) * (row - new_mean))

    def _delta(self, name: str, traces: list[tuple[Tensor, Tensor]], rate: float, ridge: float) -> Tensor:
        d_in, d_out = self._shape(name)
        n, mean, squares = self.running[d_in, d_out]
        std = (squares / (n - 1 + EPSILON)).sqrt() + EPSILON
        K = torch.cat([K for K, _ in traces])
        D = torch.zeros(len(K), d_out).double()
        for index, (k, g) in enumerate((k, g) for K_, G in traces for k, g in zip(K_, G, strict=True)):
            k_hat, g_hat = ((torch.cat([k, g]) - mean) / std).split([d_in, d_out])
            D[index] = -rate * (k_hat @ k_hat) * g_hat
        return torch.linalg.solve(K.T @ K + ridge * torch.eye(d_in).double(), K.T @ D).T
