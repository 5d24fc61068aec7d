"""Moments as a package keeps them, and those of all edits so far.

A package keeps the moments of its own tokens only. A later one adds up what is kept in all packages that the edited
state carries, which gives the published running statistics, and leaves out what was reverted. As published, maps of
one shape share theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchmgr.methods.architecture import Projection
from patchmgr_ultraedit.equations import Moments
from patchmgr_ultraedit.traces import Trace

Array = NDArray[Any]
State = Mapping[str, Array]


def shape_of(projection: Projection) -> str:
    """What tells moments apart, as the mathematics has it: ``d_in x d_out``."""
    return f"{projection.d_in}x{projection.d_out}"


def own_moments(projections: Sequence[Projection], traces: Sequence[Trace]) -> dict[str, Moments]:
    """Of the tokens of this package, by shape."""
    found: dict[str, Moments] = {}
    for projection, trace in zip(projections, traces, strict=True):
        shape, moments = shape_of(projection), Moments.of(torch.cat([trace.K, trace.G], dim=1).double())
        found[shape] = found[shape].merged(moments) if shape in found else moments
    return found


def with_past(own: Mapping[str, Moments], past: Sequence[State]) -> dict[str, Moments]:
    """With those that earlier packages kept, by shape."""
    return {shape: reduce(Moments.merged, _kept(past, shape), moments) for shape, moments in own.items()}


def to_state(own: Mapping[str, Moments]) -> dict[str, Array]:
    """The arrays to keep."""
    arrays: dict[str, Array] = {}
    for shape, moments in own.items():
        arrays[f"{shape}/count"] = np.array([moments.count], np.int64)
        arrays[f"{shape}/mean"] = moments.mean.numpy()
        arrays[f"{shape}/squares"] = moments.squares.numpy()
    return arrays


def _kept(past: Sequence[State], shape: str) -> list[Moments]:
    return [
        Moments(
            int(state[f"{shape}/count"][0]),
            torch.from_numpy(np.array(state[f"{shape}/mean"], np.float64)),
            torch.from_numpy(np.array(state[f"{shape}/squares"], np.float64)),
        )
        for state in past
        if f"{shape}/count" in state
    ]
