"""GRACE's bundle: the keys of its entries, and a codebook of cells that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from patchmgr.errors import FormatError
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_grace.codebook import Cell

CODEBOOK = "codebook.safetensors"


@dataclass(frozen=True, eq=False)
class Codebook:
    """What a bundle holds beside its entries."""

    layer: int
    radius: float
    """ε_init"""
    keys: Mapping[str, Float[Tensor, " width"]]
    """Of every entry, by id."""
    cells: tuple[Cell, ...]


class _Settings(BaseModel):
    """What ``memory.json`` says of a codebook; who fills its cells may say more."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    layer: Annotated[int, Field(ge=0)]
    radius: Annotated[float, Field(gt=0)]


def codebook_arrays(cells: Sequence[Cell], entries: Sequence[str]) -> Mapping[str, Any]:
    """``codebook.safetensors``: keys and values (cells, width) and radii of the cells, and the cell of each entry."""
    place = {name: number for number, cell in enumerate(cells) for name in cell.members}
    values = [cell.value for cell in cells if cell.value is not None]
    return {
        "keys": torch.stack([cell.key for cell in cells]).cpu().numpy().astype(np.float32),
        "values": torch.stack(values).cpu().numpy().astype(np.float32),
        "radii": np.array([cell.radius for cell in cells], dtype=np.float64),
        "cell_of_entry": np.array([place[name] for name in entries], dtype=np.int64),
    }


def read_codebook(bundle: MemoryBundle) -> Codebook:
    """The codebook of a bundle.

    Raises:
        FormatError: something is missing or does not fit together.
    """
    reference = bundle.reference
    try:
        settings = _Settings.model_validate(dict(bundle.config.settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = f"the setting {'.'.join(map(str, first['loc']))} of its codebook does not fit ({first['msg']})"
        raise FormatError(f"{reference}: {said}", hint="do not use it") from None
    arrays = bundle.arrays(CODEBOOK)
    try:
        keys, values, radii, of_entry = (arrays[name] for name in ("keys", "values", "radii", "cell_of_entry"))
    except KeyError as error:
        raise FormatError(f"{reference}: its memory lacks {error}", hint="do not use it") from None
    own = bundle.keys
    members: dict[int, list[int]] = {}
    for place, cell in enumerate(of_entry.reshape(-1).tolist()):
        members.setdefault(cell, []).append(place)
    whole = own is not None and keys.ndim == values.ndim == 2 and radii.ndim == of_entry.ndim == 1
    if (
        own is None
        or not whole
        or not len(keys) == len(values) == len(radii)
        or keys.shape[1:] != own.shape[1:]
        or len(of_entry) != len(bundle.entries)
        or set(members) != set(range(len(keys)))
        or not all(np.isfinite(array).all() for array in (keys, values, radii, own))
        or (radii < 0).any()
    ):
        raise FormatError(f"{reference}: its codebook does not fit its entries", hint="do not use it")
    names = [entry.id for entry in bundle.entries]
    cells = tuple(
        Cell(
            torch.from_numpy(keys[number]),
            float(radii[number]),
            bundle.entries[members[number][0]].target.strip(),
            tuple(names[place] for place in members[number]),
            torch.from_numpy(values[number]),
        )
        for number in range(len(keys))
    )
    return Codebook(
        settings.layer,
        settings.radius,
        {name: torch.from_numpy(key) for name, key in zip(names, own, strict=True)},
        cells,
    )
