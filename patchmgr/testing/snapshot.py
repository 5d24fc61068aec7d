"""What a model is at one moment, so that two moments can be compared: weights, modes, gradients, hooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from patchmgr.canonical import sha256_hex

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Snapshot:
    """Equal snapshots: nothing that can be seen of the model has changed."""

    tensors: dict[str, str]
    """Parameter or buffer name to the digest of dtype, shape and bytes."""
    gradients: dict[str, str]
    """Parameter name to whether it takes gradients, and the digest of the one it holds."""
    modes: dict[str, bool]
    """Module name to training mode."""
    hooks: dict[str, list[int]]
    """Module name to the ids of its hooks; modules without any are left out."""
    attributes: dict[str, list[str]]
    """Module name to the names of what lies on the instance, a replaced ``forward`` among them."""


def snapshot(model: nn.Module) -> Snapshot:
    """What ``model`` is now."""
    modules = dict(model.named_modules())
    hooks = {name: [key for kind in _HOOKS for key in getattr(module, kind)] for name, module in modules.items()}
    return Snapshot(
        tensors={name: _digest(tensor) for name, tensor in _tensors(model)},
        gradients={
            name: f"{parameter.requires_grad} {'none' if parameter.grad is None else _digest(parameter.grad)}"
            for name, parameter in model.named_parameters()
        },
        modes={name: module.training for name, module in modules.items()},
        hooks={name: keys for name, keys in hooks.items() if keys},
        attributes={name: sorted(vars(module)) for name, module in modules.items()},
    )


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _digest(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{tensor.dtype} {tuple(tensor.shape)} {sha256_hex(flat.numpy().tobytes())}"
