"""Which checkpoint tensor a module's parameter is: transformers renames some, so equal bytes decide."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from patchmgr.base.checkpoint import Checkpoint, check_editable
from patchmgr.errors import MethodError
from patchmgr.ops.rounding import STORAGE, decode


def parameter(model: nn.Module, name: str) -> nn.Parameter:
    """A parameter of a live model.

    Raises:
        MethodError: there is none of that name.
    """
    try:
        return model.get_parameter(name)
    except AttributeError:
        raise MethodError(f"the model has no parameter {name!r}", hint="the method named a wrong weight") from None


def checkpoint_name(model: nn.Module, weight: str, checkpoint: Checkpoint) -> str:
    """The name under which the checkpoint stores a parameter of the model loaded from it.

    Raises:
        MethodError: no tensor, or more than one, holds the parameter's numbers; names the parameter.
        BaseMismatchError: the tensor is stored in a dtype that cannot be edited.
    """
    live = parameter(model, weight)
    names = [weight] if weight in checkpoint.tensors else _similar(weight, checkpoint)
    matches = [name for name in names if _holds(checkpoint, name, live)]
    if weight in checkpoint.tensors:
        _refuse_twin(model, weight, live, checkpoint)
    if len(matches) != 1:
        raise MethodError(
            f"{weight!r} is not one tensor of the checkpoint (candidates: {', '.join(names) or 'none'})",
            hint="transformers fuses or converts this weight on loading; choose another layer or architecture",
        )
    return matches[0]


def elements(data: bytes, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """Stored bytes as a torch tensor of their own dtype."""
    kind = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    return torch.frombuffer(bytearray(data), dtype=kind).reshape(shape)


def _refuse_twin(model: nn.Module, weight: str, live: nn.Parameter, checkpoint: Checkpoint) -> None:
    for twin, parameter_ in model.named_parameters(remove_duplicate=False):
        if parameter_ is live and twin != weight and twin in checkpoint.tensors:
            raise MethodError(
                f"{weight!r} is tied to {twin!r}, and the checkpoint stores both",
                hint="editing one of two stored copies would part them; choose another weight",
            )


def _similar(weight: str, checkpoint: Checkpoint) -> list[str]:
    return [name for name in checkpoint.tensors if weight.endswith(f".{name}") or name.endswith(f".{weight}")]


def _holds(checkpoint: Checkpoint, name: str, live: Tensor) -> bool:
    _, entry = checkpoint.entry(name)
    if entry.shape != tuple(live.shape):
        return False
    check_editable(name, entry)
    stored = decode(np.frombuffer(checkpoint.read_bytes(name), STORAGE[entry.dtype]), entry.dtype)
    return bool(np.array_equal(stored.reshape(entry.shape), live.detach().double().cpu().numpy()))
