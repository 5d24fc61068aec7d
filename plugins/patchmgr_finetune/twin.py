"""A model's twin: other modules on the same weights, so that what is done to it leaves no trace on the model."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def twin(model: Model) -> Model:
    """A copy of the modules that shares the memory of every parameter and buffer, frozen and in evaluation mode.

    Hooks, adapters and gradients of the twin are its own, and nothing has to be put back when it is given up. Only
    writing to a shared weight would be seen in the model, so give the twin's module a tensor of its own instead.
    """
    shared: dict[int, object] = {id(each): nn.Parameter(each.detach(), False) for each in model.parameters()}
    shared |= {id(each): each.detach() for each in model.buffers()}
    return copy.deepcopy(model, shared).eval()
