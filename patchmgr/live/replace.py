"""Replacing weights of a live model for a while, restored from copies and never by subtraction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from patchmgr.live.pairing import parameter


@contextlib.contextmanager
def replaced(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Give parameters other values inside the block; afterwards they hold what they held, bit for bit.

    Args:
        model: any live model; its parameters keep their identity, device and dtype.
        weights: new values by parameter name.

    Raises:
        MethodError: there is no such parameter.
    """
    kept = {name: parameter(model, name).detach().clone() for name in weights}
    try:
        with torch.no_grad():
            for name, value in weights.items():
                parameter(model, name).copy_(value)
        yield
    finally:
        with torch.no_grad():
            for name, value in kept.items():
                parameter(model, name).copy_(value)
