"""A model as it would be with a change for each row of a batch: hooks add ΔW x, and no weight is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from patchmgr.methods.architecture import Projection
from patchmgr_mend.equations import moved
from patchmgr_mend.network import Factors
from patchmgr_mend.traces import hooked


def changed(
    sites: Sequence[Projection], factors: Sequence[Factors], n_rows: Sequence[int]
) -> AbstractContextManager[None]:
    """Within, so many rows of a batch meet the maps as the edits of the first group leave them, and so on."""
    return hooked(
        [
            site.module.register_forward_hook(partial(_moved, own, n_rows))
            for site, own in zip(sites, factors, strict=True)
        ]
    )


def _moved(change: Factors, n_rows: Sequence[int], _module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    D, A = change.D, change.A
    x = inputs[0].reshape(sum(n_rows), -1, A.shape[-1]).to(A.dtype)  # OPT's MLP works on (rows * width, d)
    own = zip(x.split(list(n_rows)), D, A, strict=True)
    move = torch.cat([moved(rows.flatten(0, 1), *factors) for rows, *factors in own])
    return output + move.reshape(output.shape).to(output.dtype)
