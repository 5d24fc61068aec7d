"""Which checkpoint tensor a module's parameter is: transformers renames some, so equal bytes decide."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from patchmgr.base.checkpoint import Checkpoint, check_editable
from patchmgr.errors import MethodError
from patchmgr.live.bits import STORED

_ROWS = 1024
"""Compared at once, so that a large embedding is not widened whole."""


def parameter(model: nn.Module, name: str) -> nn.Parameter:
    """A parameter of a live model.

    Raises:
        MethodError: there is none of that name.
    """
    try:
        return model.get_parameter(name)
    except AttributeError:
        raise MethodError(f"the model has no parameter {name!r}", hint="the method named a wrong weight") from None


def checkpoint_names(model: nn.Module, weight: str, checkpoint: Checkpoint) -> dict[str, str]:
    """Every tensor in which the checkpoint stores a parameter of the model loaded from it.

    Args:
        model: the live model.
        weight: name of the parameter in it.
        checkpoint: what it was loaded from.

    Returns:
        The parameter's name in the model by the tensor's name in the checkpoint. A weight that is tied to others may
        be stored for several of them, or for another than was asked for.

    Raises:
        MethodError: no tensor, or not a certain one, holds the parameter's numbers; names the parameter.
        BaseMismatchError: a tensor is stored in a dtype that cannot be edited.
    """
    live, found = parameter(model, weight), {}
    for module in (weight, *_twins(model, weight, live)):
        stored = module in checkpoint.tensors
        names = [module] if stored else _similar(module, checkpoint)
        matches = [name for name in names if _holds(checkpoint, name, live)]
        if len(matches) > 1 or (stored and not matches):
            raise _unpaired(module, names)
        found.update({name: module for name in matches if name not in found})
    if not found:
        raise _unpaired(weight, _similar(weight, checkpoint))
    return found


def checkpoint_name(model: nn.Module, weight: str, checkpoint: Checkpoint) -> str:
    """One tensor that stores a parameter: its own, before those of weights that it is tied to.

    Raises:
        MethodError: as in :func:`checkpoint_names`.
        BaseMismatchError: as there.
    """
    return next(iter(checkpoint_names(model, weight, checkpoint)))


def elements(data: bytes, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """Stored bytes as a torch tensor of their own dtype."""
    return torch.frombuffer(bytearray(data), dtype=STORED[dtype]).reshape(shape)


def _twins(model: nn.Module, weight: str, live: nn.Parameter) -> list[str]:
    """Other names of a tied parameter."""
    every = model.named_parameters(remove_duplicate=False)
    return [name for name, parameter_ in every if parameter_ is live and name != weight]


def _unpaired(weight: str, names: list[str]) -> MethodError:
    return MethodError(
        f"{weight!r} is not one tensor of the checkpoint (candidates: {', '.join(names) or 'none'})",
        hint="transformers fuses or converts this weight on loading; choose another layer or architecture",
    )


def _similar(weight: str, checkpoint: Checkpoint) -> list[str]:
    return [name for name in checkpoint.tensors if weight.endswith(f".{name}") or name.endswith(f".{weight}")]


def _holds(checkpoint: Checkpoint, name: str, live: Tensor) -> bool:
    """Whether a tensor holds the live numbers, rounded as loading in a narrower dtype rounds them."""
    _, entry = checkpoint.entry(name)
    if entry.shape != tuple(live.shape):
        return False
    if entry.dtype not in STORED:
        check_editable(name, entry)
    stored = elements(checkpoint.read_bytes(name), entry.dtype, entry.shape)
    parts = zip(stored.split(_ROWS), live.detach().split(_ROWS), strict=True)
    return all(bool((ours.to(theirs.dtype) == theirs.cpu()).all()) for ours, theirs in parts)
