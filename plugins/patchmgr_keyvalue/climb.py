"""Reading keys layer after layer, from the bottom up, without running anything below twice.

A change of one layer alters what the blocks above see, at every token. So each reading begins where the one before
ended: the hidden states below the last changed block are kept, and only the blocks from there on are run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from patchmgr.methods.architecture import Architecture, Projection
from patchmgr.request import EditRequest
from patchmgr_keyvalue.forwards import blocks_give, inputs_of, kept_input, kept_output, output_of
from patchmgr_keyvalue.keys import balanced
from patchmgr_keyvalue.rows import Batch, Row, pad, prompt_rows

KEPT_BYTES = 1 << 30
"""Hidden states beyond this are not kept: then every reading begins at the lowest block."""


class Climb:
    """Keys of many requests, and what a module gives at their subjects, as the layers below are changed."""

    def __init__(
        self,
        architecture: Architecture,
        tokenizer: Any,
        aim: nn.Module,
        templates: Sequence[str],
        requests: Sequence[EditRequest],
        batch: int,
    ) -> None:
        """Tokenise.

        Args:
            architecture: the model.
            tokenizer: its tokenizer.
            aim: the module whose output is wanted, in or above every layer that is read.
            templates: contexts, the plain one first.
            requests: the edits.
            batch: requests that are read at a time.
        """
        self._architecture, self._aim = architecture, aim
        self._n_requests, self._n_templates = len(requests), len(templates)
        rows = prompt_rows(tokenizer, [(template, request) for request in requests for template in templates])
        n_rows = batch * len(templates)
        plain = range(0, len(rows), len(templates))
        other = [number for number in range(len(rows)) if number not in plain]
        groups = [*_groups(rows, plain, n_rows), *_groups(rows, other, n_rows)]
        self._parts = [_Part(architecture, rows, group, group[0] in plain) for group in groups]
        size = sum(part.batch.input_ids.numel() for part in self._parts) * architecture.hidden_size
        self._keep = size * architecture.model.dtype.itemsize <= KEPT_BYTES

    def read(
        self, layer: int, projection: Projection
    ) -> tuple[Float[Tensor, "d_in edits"], Float[Tensor, "edits d_out"]]:
        """K of every request at ``layer``, and what the aim gives in the plain prompt; float64.

        Layers are read from the bottom up, and none below ``layer`` may change after.
        """
        keys: dict[int, Tensor] = {}
        given: dict[int, Tensor] = {}
        for part in self._parts:
            found, hidden = part.read(layer, projection, self._aim, keep=self._keep)
            keys |= dict(zip(part.numbers, found, strict=True))
            if hidden is not None:
                given |= dict(zip(part.numbers, hidden, strict=True))
        K = torch.stack([keys[number] for number in range(len(keys))]).unflatten(0, (-1, self._n_templates))
        H = torch.stack([given[index * self._n_templates] for index in range(self._n_requests)])
        return balanced(K).T, H


class _Part:
    """Some rows, of like length, and how far they have come."""

    def __init__(self, architecture: Architecture, rows: Sequence[Row], numbers: Sequence[int], plain: bool) -> None:
        self._architecture, self.numbers, self._plain = architecture, numbers, plain
        self.batch: Batch = pad(architecture.model, [rows[number] for number in numbers])
        device = self.batch.input_ids.device
        subjects = torch.tensor([rows[number].subject for number in numbers], device=device)
        self._at = torch.arange(len(numbers), device=device), subjects
        self._below: tuple[Any, ...] = ()

    def read(
        self, layer: int, projection: Projection, aim: nn.Module, *, keep: bool
    ) -> tuple[Float[Tensor, "rows d_in"], Float[Tensor, "rows d_out"] | None]:
        """Keys of the rows, and of plain ones what the aim gives; float64."""
        model, blocks = self._architecture.model, self._architecture.blocks
        below: list[Any] = []
        hidden: Tensor | None = None
        with ExitStack() as stack:
            stack.enter_context(blocks_give(blocks, self._below))
            if keep and layer:
                stack.enter_context(kept_output(blocks[layer - 1], below))
            if self._plain:
                inputs: list[Tensor] = []
                stack.enter_context(kept_input(projection.module, inputs))
                hidden = self._at_subject(output_of(model, aim, self.batch.inputs()))
            else:
                inputs = list(inputs_of(model, [projection.module], self.batch))
        if below:
            self._below = (below[0],) * layer
        return self._at_subject(inputs[0]), hidden

    def _at_subject(self, tensor: Tensor) -> Float[Tensor, "rows _"]:
        rows, subjects = (each.to(tensor.device) for each in self._at)
        return tensor.reshape(*self.batch.input_ids.shape, -1)[rows, subjects].double()


def _groups(rows: Sequence[Row], numbers: Sequence[int], n_rows: int) -> list[list[int]]:
    """Numbers of rows in groups of like length."""
    order = sorted(numbers, key=lambda number: len(rows[number].ids))
    return [order[start : start + n_rows] for start in range(0, len(order), n_rows)]
