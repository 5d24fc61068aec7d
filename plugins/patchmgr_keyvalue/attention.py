"""The attention of a block, found by structure: the one child named for attention that has maps of its own."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture

_MARKS = ("attn", "attention")


def attention_of(architecture: Architecture, layer: int) -> nn.Module:
    """The module whose output (the first of a tuple) the attention of block ``layer`` (from 0) hands on.

    Raises:
        MethodError: the block has none or several.
    """
    found = [
        child
        for name, child in architecture.blocks[layer].named_children()
        if any(mark in name.lower() for mark in _MARKS)
        and any(isinstance(module, nn.Linear | Conv1D) for module in child.modules())
    ]
    if len(found) != 1:
        raise MethodError(
            f"{architecture.blocks_name}.{layer} has {len(found)} attentions, one is needed",
            hint="this architecture cannot be edited by this method",
        )
    return found[0]
