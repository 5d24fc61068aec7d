"""A model as it would be with a change for each row of a batch: hooks add ΔW x, and no weight is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from torch import Tensor

from patchmgr.methods.architecture import Projection
from patchmgr_mend.equations import moved
from patchmgr_mend.network import Factors
from patchmgr_mend.traces import hooked


def changed(sites: Sequence[Projection], factors: Sequence[Factors], groups: Tensor) -> AbstractContextManager[None]:
    """Within, row i of a batch meets the maps as the edits of group ``groups[i]`` leave them."""
    return hooked(
        [
            site.module.register_forward_hook(partial(_moved, own.D[groups], own.A[groups]))
            for site, own in zip(sites, factors, strict=True)
        ]
    )


def _moved(D: Tensor, A: Tensor, _module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    x = inputs[0].reshape(len(A), -1, A.shape[-1])  # OPT's MLP works on (rows * width, d)
    return output + moved(x.to(A.dtype), D, A).reshape(output.shape).to(output.dtype)
