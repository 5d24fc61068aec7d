"""Keys: the down-projection's input at the subject's last token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.architecture import Architecture, Projection
from patchmgr.request import EditRequest
from patchmgr_keyvalue.forwards import inputs_of
from patchmgr_keyvalue.rows import Row, pad, prompt_rows


def read_keys(architecture: Architecture, projection: Projection, rows: Sequence[Row]) -> Float[Tensor, "rows d_in"]:
    """K of every row, in one forward pass that stops at the projection; float64, on the model's device."""
    (inputs,) = inputs_of(architecture.model, [projection.module], pad(architecture.model, rows))
    columns = torch.tensor([row.subject for row in rows], device=inputs.device)
    return inputs[torch.arange(len(rows), device=inputs.device), columns].double()


def template_keys(
    architecture: Architecture, tokenizer: Any, projection: Projection, templates: Sequence[str], request: EditRequest
) -> Float[Tensor, "templates d_in"]:
    """K of the request's subject in each template, in their order."""
    rows = prompt_rows(tokenizer, [(template, request) for template in templates])
    return read_keys(architecture, projection, rows)


def balanced(keys: Float[Tensor, "edits templates d_in"]) -> Float[Tensor, "edits d_in"]:
    """½ of the plain key and ½ of the mean over the other contexts, as in MEMIT; the plain key where it is alone."""
    plain = keys[:, 0]
    return plain if keys.shape[1] == 1 else (plain + keys[:, 1:].mean(1)) / 2
