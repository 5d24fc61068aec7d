"""WISE's bundle: shards, each with its mask and what it adds, and the side memories that are merged of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from patchmgr.errors import FormatError
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_wise.equations import Pool, merged

SHARDS = "shards.safetensors"


@dataclass(frozen=True, eq=False)
class Shard:
    """The edits that were trained into one random part of the matrix."""

    members: tuple[str, ...]
    """Ids of entries, in the order in which they were trained."""
    mask: Bool[Tensor, "d_out d_in"]
    change: Float[Tensor, "d_out d_in"] | None
    """Zero outside the mask; None: it is to be trained anew."""


class WiseSettings(BaseModel):
    """What ``memory.json`` says of side memories."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    layer: Annotated[int, Field(ge=0)]
    retrieve: bool
    merge_every: Annotated[int, Field(ge=1)]
    density: Annotated[float, Field(gt=0, le=1)]
    pool: Pool
    made: Annotated[int, Field(ge=0)]
    """Shards that were ever made; it decides the mask of the next."""
    shards: list[list[str]]
    """The entries of each."""
    thresholds: list[Annotated[float, Field(gt=0)]]
    """Of each side memory, in their order."""


@dataclass(frozen=True, eq=False)
class SideMemories:
    """What a bundle holds."""

    settings: WiseSettings
    shards: tuple[Shard, ...]

    @property
    def sides(self) -> tuple[tuple[tuple[str, ...], Float[Tensor, "d_out d_in"]], ...]:
        """Each side memory: the entries in it, and what it adds."""
        return sides_of(self.shards, self.settings.retrieve, self.settings.merge_every, self.settings.density)


def sides_of(
    shards: Sequence[Shard], retrieve: bool, merge_every: int, density: float
) -> tuple[tuple[tuple[str, ...], Float[Tensor, "d_out d_in"]], ...]:
    """Neighbouring shards merged, ``merge_every`` at a time (WISE-Retrieve), or all into one (WISE-Merge)."""
    step = merge_every if retrieve else max(len(shards), 1)
    groups = [shards[start : start + step] for start in range(0, len(shards), step)]
    return tuple(
        (
            tuple(name for shard in group for name in shard.members),
            merged([shard.change for shard in group if shard.change is not None], density),
        )
        for group in groups
    )


def shard_arrays(shards: Sequence[Shard]) -> Mapping[str, Any]:
    """``shards.safetensors``: of each shard the bits of its mask, and float32 values at these places."""
    arrays: dict[str, Any] = {}
    for number, shard in enumerate(shards):
        if shard.change is None:
            raise ValueError(f"shard {number} was not trained")
        arrays[f"{number}/places"] = np.packbits(shard.mask.cpu().numpy().reshape(-1))
        arrays[f"{number}/values"] = shard.change.cpu().numpy()[shard.mask.cpu().numpy()].astype(np.float32)
    return arrays


def settings_of(bundle: MemoryBundle) -> WiseSettings:
    """What a bundle says of its side memories.

    Raises:
        FormatError: something is missing, or out of its range; names it.
    """
    try:
        return WiseSettings.model_validate(dict(bundle.config.settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise FormatError(
            f"{bundle.reference}: the setting {'.'.join(map(str, first['loc']))} of its side memories does not fit "
            f"({first['msg']})",
            hint="do not use it",
        ) from None


def read_shards(bundle: MemoryBundle, shape: tuple[int, int]) -> SideMemories:
    """The side memories of a bundle.

    Args:
        bundle: that :mod:`patchmgr_wise.edit` made.
        shape: of the matrix, (d_out, d_in).

    Raises:
        FormatError: something is missing, or does not fit the entries or the matrix.
    """
    settings = settings_of(bundle)
    arrays = bundle.arrays(SHARDS)
    try:
        shards = tuple(_shard(tuple(names), arrays, n, shape) for n, names in enumerate(settings.shards))
    except (KeyError, ValueError) as error:
        raise FormatError(f"{bundle.reference}: its side memories do not fit ({error})", hint="do not use it") from None
    named = [name for names in settings.shards for name in names]
    step = settings.merge_every if settings.retrieve else max(len(shards), 1)
    n_sides = -(-len(shards) // step)
    if sorted(named) != sorted(entry.id for entry in bundle.entries) or len(settings.thresholds) != n_sides:
        raise FormatError(f"{bundle.reference}: its shards do not fit its entries", hint="do not use it")
    return SideMemories(settings, shards)


def _shard(members: tuple[str, ...], arrays: Mapping[str, Any], number: int, shape: tuple[int, int]) -> Shard:
    places, values = arrays[f"{number}/places"], arrays[f"{number}/values"]
    size = shape[0] * shape[1]
    if places.dtype != np.uint8 or len(places) != -(-size // 8):
        raise ValueError(f"the mask of shard {number} is not of a matrix {list(shape)}")
    mask = np.unpackbits(places, count=size).astype(bool).reshape(shape)
    if values.dtype != np.float32 or values.shape != (int(mask.sum()),) or not np.isfinite(values).all():
        raise ValueError(f"the values of shard {number} do not fit its mask")
    change = np.zeros(shape, dtype=np.float32)
    change[mask] = values
    return Shard(members, torch.from_numpy(mask), torch.from_numpy(change))
