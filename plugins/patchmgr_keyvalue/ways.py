"""Ways of running a batch: which columns, behind which kept keys and values, above which blocks.

A *way* holds all that a pass needs but δ. Those of one batch differ in cost, not in what they give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from patchmgr_keyvalue.rows import Batch


class _KeptLayer(DynamicLayer):
    """Keys and values of earlier tokens of one block; what a pass adds is handed to it and not kept."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys: Tensor = keys
        self.values: Tensor = values
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([self.keys, key_states], dim=-2), torch.cat([self.values, value_states], dim=-2)


@dataclass(frozen=True, eq=False)
class Earlier:
    """What lies before the columns that are run."""

    pairs: Sequence[tuple[Tensor, Tensor]]
    """Keys and values of each block, (rows, heads, earlier, width of a head)."""
    mask: Int[Tensor, "rows earlier"]
    """1 where the row has such a token; rows with fewer have them from the left."""
    positions: Int[Tensor, "rows columns"]
    """Where in their texts the columns that are run stand."""

    def cache(self) -> DynamicCache:
        cache = DynamicCache()
        cache.layers = [_KeptLayer(keys, values) for keys, values in self.pairs]
        return cache


@dataclass(frozen=True, eq=False)
class Way:
    """One way of running the batch."""

    name: str
    """``tail``: earlier tokens and lower blocks are kept; ``upper``: lower blocks are kept; ``whole``: nothing is."""
    batch: Batch
    """The columns that are run."""
    subjects: Int[Tensor, " rows"]
    """Columns where δ is added."""
    place_rows: Int[Tensor, " places"]
    """Rows where logits are read; the same row may have several places."""
    place_columns: Int[Tensor, " places"]
    below: tuple[Any, ...] = ()
    """What the lowest blocks are to give instead of running; all but the topmost only fill a place."""
    earlier: Earlier | None = None

    def inputs(self) -> dict[str, Any]:
        """Arguments of the forward pass."""
        if self.earlier is None:
            return self.batch.inputs()
        return {
            "input_ids": self.batch.input_ids,
            "attention_mask": torch.cat([self.earlier.mask, self.batch.attention_mask], dim=1),
            "position_ids": self.earlier.positions,
            "past_key_values": self.earlier.cache(),
            "use_cache": True,
        }

    @property
    def at_subject(self) -> Float[Tensor, "rows columns 1"]:
        """1 where δ is added, else 0."""
        return nn.functional.one_hot(self.subjects, self.batch.input_ids.shape[1]).float().unsqueeze(-1)

    @property
    def flat_places(self) -> Int[Tensor, " places"]:
        """Places counted over rows and columns."""
        return self.place_rows * self.batch.input_ids.shape[1] + self.place_columns

    def above(self, output: Any, n_blocks: int) -> Way:
        """The same with the lowest blocks giving ``output``."""
        return replace(self, name="upper", below=(output,) * n_blocks)

    def only(self, rows: Int[Tensor, " kept"]) -> Way:
        """Some of the rows, with the columns that they need."""
        number = torch.full_like(self.subjects, -1)
        number[rows] = torch.arange(len(rows), device=rows.device)
        places = number[self.place_rows] >= 0
        mask = self.batch.attention_mask[rows]
        width = int(mask.sum(1).max())
        return replace(
            self,
            batch=Batch(self.batch.input_ids[rows, :width], mask[:, :width]),
            subjects=self.subjects[rows],
            place_rows=number[self.place_rows[places]],
            place_columns=self.place_columns[places],
            below=(_rows_of(self.below[-1], rows, width),) * len(self.below) if self.below else (),
            earlier=None if self.earlier is None else _earlier_of(self.earlier, rows, width),
        )


def tail(way: Way, cache: DynamicCache) -> Way:
    """Every row of ``way`` from its subject's last token on, behind the keys and values that its pass left."""
    first, mask = way.subjects, way.batch.attention_mask
    n_before, lengths = int(first.max()), mask.sum(1)
    ahead = torch.arange(int((lengths - first).max()), device=first.device)
    columns = torch.minimum(first.unsqueeze(1) + ahead, lengths.unsqueeze(1) - 1)  # padding repeats the last token
    layers = [each for each in cache.layers if isinstance(each, DynamicLayer)]
    kept = (torch.arange(n_before, device=first.device) < first.unsqueeze(1)).to(mask)
    pairs = [
        (each.keys[:, :, :n_before], each.values[:, :, :n_before])
        for each in layers
        if each.keys is not None and each.values is not None
    ]
    return replace(
        way,
        name="tail",
        batch=Batch(way.batch.input_ids.gather(1, columns), (ahead < (lengths - first).unsqueeze(1)).to(mask)),
        subjects=torch.zeros_like(first),
        place_columns=way.place_columns - first[way.place_rows],
        below=(_columns_of(way.below[-1], columns),) * len(way.below) if way.below else (),
        earlier=Earlier(pairs, kept, columns),
    )


def _earlier_of(earlier: Earlier, rows: Int[Tensor, " kept"], width: int) -> Earlier:
    mask = earlier.mask[rows]
    n_before = int(mask.sum(1).max())
    pairs = [(_some(keys, rows, n_before), _some(values, rows, n_before)) for keys, values in earlier.pairs]
    return Earlier(pairs, mask[:, :n_before], earlier.positions[rows, :width])


def _some(kept: Tensor, rows: Int[Tensor, " kept"], n_before: int) -> Tensor:
    """Keys or values of these rows, wherever their block lies."""
    return kept[rows.to(kept.device), :, :n_before]


def _rows_of(output: Any, rows: Int[Tensor, " kept"], width: int) -> Any:
    """A block's output in these rows."""
    return (
        (_rows_of(output[0], rows, width), *output[1:])
        if isinstance(output, tuple)
        else output[rows.to(output.device), :width]
    )


def _columns_of(output: Any, columns: Int[Tensor, "rows columns"]) -> Any:
    """A block's output at these columns of every row."""
    if isinstance(output, tuple):
        return (_columns_of(output[0], columns), *output[1:])
    return output.gather(1, columns.to(output.device).unsqueeze(-1).expand(-1, -1, output.shape[-1]))
