"""Where prompts end in a pass of a model, seen from the arguments that it is called with."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor


def prompt_ends(arguments: tuple[Any, ...], options: dict[str, Any]) -> Int[Tensor, " rows"] | None:
    """The column of the last token of each row, in a pass that begins texts; None in one that goes on with them.

    >>> mask = torch.tensor([[0, 1, 1], [1, 1, 0]])
    >>> prompt_ends((torch.zeros(2, 3, dtype=torch.long),), {"attention_mask": mask}).tolist()
    [2, 1]
    """
    cache = options.get("past_key_values")
    if cache is not None and cache.get_seq_length() > 0:
        return None
    ids = options.get("input_ids", arguments[0] if arguments else None)
    given: Tensor = options["inputs_embeds"] if ids is None else ids
    mask = options.get("attention_mask")
    rows, width = given.shape[:2]
    if mask is None or mask.ndim != 2:
        return torch.full((rows,), width - 1, dtype=torch.long, device=given.device)
    columns = torch.arange(1, width + 1, device=mask.device)
    ends: Tensor = ((mask[:, -width:] != 0) * columns).argmax(dim=1)
    return ends
