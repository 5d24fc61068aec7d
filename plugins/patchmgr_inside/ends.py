"""Where prompts end in a pass of a model, which may read a prompt whole, in part, or again with its answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

Places = tuple[Int[Tensor, " ends"], Int[Tensor, " ends"]]
"""Row and column of every prompt that ends in a pass; others end before it or behind it."""


class PromptEnds:
    """Ends of prompts, as whoever runs the model said for its thread, and else as the passes themselves tell."""

    def __init__(self) -> None:
        self._said = threading.local()

    @contextmanager
    def at(self, columns: Sequence[int]) -> Iterator[None]:
        """Within, prompts end at these columns, counted from the first token that a cache holds.

        Args:
            columns: one for each row, or one for all rows, however many there are.
        """
        before = self._columns
        self._said.columns = tuple(columns)
        try:
            yield
        finally:
            self._said.columns = before

    def in_pass(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, Places]:
        """The number of rows of a pass, and the prompts that end in it.

        Where nobody said, prompts end with what is given to the pass that begins them, and no later one has an end.
        """
        ids = options.get("input_ids", arguments[0] if arguments else None)
        given: Tensor = options["inputs_embeds"] if ids is None else ids
        rows, width = given.shape[:2]
        cache = options.get("past_key_values")
        n_before = 0 if cache is None else int(cache.get_seq_length())
        if self._columns is not None:
            columns = torch.tensor(self._columns, device=given.device).expand(rows) - n_before
        elif n_before:
            columns = torch.full((rows,), -1, device=given.device)
        else:
            columns = last_columns(given, options.get("attention_mask"))
        (here,) = torch.nonzero((columns >= 0) & (columns < width), as_tuple=True)
        return rows, (here, columns[here])

    @property
    def _columns(self) -> tuple[int, ...] | None:
        return getattr(self._said, "columns", None)


def last_columns(given: Tensor, mask: Tensor | None) -> Int[Tensor, " rows"]:
    """The column of the last token of each row, padded on either side.

    >>> last_columns(torch.zeros(2, 3), torch.tensor([[0, 1, 1], [1, 1, 0]])).tolist()
    [2, 1]
    """
    rows, width = given.shape[:2]
    if mask is None or mask.ndim != 2:
        return torch.full((rows,), width - 1, dtype=torch.long, device=given.device)
    columns = torch.arange(1, width + 1, device=mask.device)
    found: Tensor = ((mask[:, -width:] != 0) * columns).argmax(dim=1)
    return found
