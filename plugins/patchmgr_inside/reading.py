"""What goes into a module of a model on some prompts, at the tokens that are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from patchmgr.errors import RequestError
from patchmgr.methods.tokens import pad_right
from patchmgr_keyvalue.forwards import inputs_of
from patchmgr_keyvalue.rows import Batch

_ROWS = 64
"""Prompts in one pass."""


def inputs_at(model: nn.Module, module: nn.Module, rows: Sequence[Sequence[int]]) -> list[Float[Tensor, "_ width"]]:
    """The inputs of a module at the tokens of each row, float32 or wider, on the model's device.

    The pass stops at the module. Rows of similar length are run together, which decides the last bits of what is found.

    Args:
        model: a causal language model.
        module: of the model.
        rows: prompts that the model can read, see :func:`fits`.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    for start in range(0, len(order), _ROWS):
        some = order[start : start + _ROWS]
        ids, mask = (torch.tensor(part, device=device) for part in pad_right([rows[index] for index in some], 0))
        (inputs,) = inputs_of(model, [module], Batch(ids, mask))
        wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        for index, row in zip(some, wide, strict=True):
            found[index] = row[: len(rows[index])].clone()
    return found


def ends_of(model: nn.Module, module: nn.Module, rows: Sequence[Sequence[int]]) -> Float[Tensor, "rows width"]:
    """The inputs of a module at the last token of each row."""
    return torch.stack([row[-1] for row in inputs_at(model, module, rows)])


def fits(model: nn.Module, row: Sequence[int]) -> bool:
    """Whether a model can read a row, which has a token at least."""
    config: Any = model.config
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return len(row) > 0 and (limit is None or len(row) <= limit)


def check_fits(model: nn.Module, rows: Sequence[Sequence[int]], prompts: Sequence[str]) -> None:
    """Refuse prompts that a model cannot read.

    Raises:
        RequestError: names the prompt.
    """
    for row, prompt in zip(rows, prompts, strict=True):
        if not fits(model, row):
            raise RequestError(f"{prompt[:40]!r}… takes {len(row)} tokens, which the model cannot read")
