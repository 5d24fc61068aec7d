"""Which linear maps of a model get an adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection

_ATTENTION_MARKS = ("attn", "attention")
QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("c_attn",),
    ("query_key_value",),
    ("qkv_proj",),
    ("q", "v"),
)
"""What architectures call the maps that make queries and values, or both in one; the first that is there is taken."""
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def chosen_targets(
    architecture: Architecture, names: Sequence[str] | None, layers: Sequence[int] | None
) -> tuple[Projection, ...]:
    """The linear maps that get an adapter, in the order of the model.

    Args:
        architecture: the model.
        names: ends of their dotted names; None: those of the attention that make queries and values, or where there
            are none under a known name, the down-projections.
        layers: blocks of the decoder, from 0; None: everywhere.

    Raises:
        MethodError: there is none of a name or no such block, or a weight that cannot be changed alone, named.
    """
    known = names if names is not None else _usual_names(architecture)
    named = [path for path, _ in architecture.model.named_modules() if _ends(path, known)]
    for name in known:
        if not any(_ends(path, [name]) for path in named):
            there = sorted({path.rpartition(".")[2] for path, _ in _linear(architecture.model)})
            raise MethodError(f"no module of the model is called {name}", hint=f"choose from {', '.join(there)}")
    if layers is not None:
        n_blocks = len(architecture.blocks)
        outside = [layer for layer in layers if layer >= n_blocks]
        if outside:
            raise MethodError(
                f"layer {outside[0]} is out of range, the model has {n_blocks} blocks",
                hint=f"choose layers from 0 to {n_blocks - 1}",
            )
        named = [path for path in named if block_of(architecture, path) in layers]
        if not named:
            raise MethodError(f"no block of {list(layers)} has a {' or '.join(known)}", hint="choose other layers")
    uses = Counter(id(weight) for _, weight in architecture.model.named_parameters(remove_duplicate=False))
    return tuple(_projection(architecture.model.get_submodule(path), path, uses) for path in named)


def block_of(architecture: Architecture, path: str) -> int | None:
    """The decoder's block that a module lies in, from 0; None: it lies in none."""
    prefix = f"{architecture.blocks_name}."
    return int(path.removeprefix(prefix).partition(".")[0]) if path.startswith(prefix) else None


def _usual_names(architecture: Architecture) -> tuple[str, ...]:
    inside = [
        path.rpartition(".")[2]
        for path, _ in _linear(architecture.model)
        if any(mark in path.lower() for mark in _ATTENTION_MARKS)
    ]
    for names in QUERY_AND_VALUE:
        if set(names) <= set(inside):
            return names
    return tuple(architecture.down_projection(layer).name for layer in range(len(architecture.blocks)))


def _linear(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            yield path, module


def _ends(path: str, names: Sequence[str]) -> bool:
    return any(path == name or path.endswith(f".{name}") for name in names)


def _projection(module: nn.Module, path: str, uses: Counter[int]) -> Projection:
    weight = getattr(module, "weight", None)
    plain = type(weight) is nn.Parameter and weight.dtype in _DTYPES and not weight.is_meta
    if not isinstance(module, nn.Linear | Conv1D) or not plain:
        raise MethodError(
            f"{path} is a {type(module).__name__} that cannot be changed by a low rank (quantised, or no linear map?)",
            hint="load the model unquantised, as float32, bfloat16 or float16, or choose other target_modules",
        )
    if uses[id(weight)] > 1:
        raise MethodError(
            f"{path} shares its weight with another module, which would change as well", hint="leave it out"
        )
    if isinstance(module, Conv1D):
        return Projection(module, path, "in_out", d_in=module.nx, d_out=module.nf)
    return Projection(module, path, "out_in", d_in=module.in_features, d_out=module.out_features)
