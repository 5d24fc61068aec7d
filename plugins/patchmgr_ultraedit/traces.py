"""What goes into the edited maps, and the gradients by what comes out, at every token of the edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from patchmgr.methods.architecture import Architecture, Projection
from patchmgr.methods.tokens import encode_all_answered
from patchmgr.request import EditRequest
from patchmgr_keyvalue.forwards import Change, changed_input, changed_output
from patchmgr_keyvalue.rows import Batch, Row, pad


@dataclass(frozen=True, eq=False)
class Trace:
    """The tokens of all edits at one map, in the order of the requests; float32, on the CPU."""

    K: Float[Tensor, "tokens d_in"]
    G: Float[Tensor, "tokens d_out"]


def answered_rows(tokenizer: Any, requests: Sequence[EditRequest]) -> list[Row]:
    """Prompt and target of each request, without the last token, which predicts nothing.

    Raises:
        RequestError: a target has no tokens of its own.
    """
    pairs = [(request.text, request.target_new) for request in requests]
    return [Row(row.ids[:-1], 0, row.answer) for row in encode_all_answered(tokenizer, pairs)]


def traced(
    architecture: Architecture,
    projections: Sequence[Projection],
    rows: Sequence[Row],
    *,
    tokens: Literal["all", "answer"],
    batch: int,
    progress: Callable[[int, int], None],
) -> list[Trace]:
    """The tokens of all rows at each map, under the summed cross-entropy of the targets.

    Summed, not averaged: what a token counts for then does not depend on which edits share its batch. The published
    mean over a batch differs by a factor, which normalising takes out again.

    Raises:
        RequestError: a row is longer than the model can read.
    """
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in projections]
    for start in range(0, len(rows), batch):
        progress(start, len(rows))
        for own, pair in zip(
            parts, _batch(architecture, projections, rows[start : start + batch], tokens), strict=True
        ):
            own.append(pair)
    return [Trace(torch.cat([K for K, _ in own]), torch.cat([G for _, G in own])) for own in parts]


def _batch(
    architecture: Architecture, projections: Sequence[Projection], rows: Sequence[Row], tokens: str
) -> list[tuple[Tensor, Tensor]]:
    batch = pad(architecture.model, rows)
    inputs: dict[int, Tensor] = {}
    moves: dict[int, Tensor] = {}

    def keep(index: int) -> Change:
        def change(tensor: Tensor) -> Tensor:
            inputs[index] = tensor.detach()
            return tensor

        return change

    def movable(index: int) -> Change:
        def change(output: Tensor) -> Tensor:
            moves[index] = torch.zeros_like(output, requires_grad=True)
            return output + moves[index]

        return change

    with ExitStack() as stack, torch.enable_grad():
        for index, projection in enumerate(projections):
            stack.enter_context(changed_input(projection.module, keep(index)))
            stack.enter_context(changed_output(projection.module, movable(index)))
        loss = _loss(architecture, batch, rows)
        gradients = torch.autograd.grad(loss, [moves[index] for index in range(len(projections))])
    chosen = _chosen(batch, rows, tokens).flatten()
    return [(_at(inputs[index], chosen), _at(gradient, chosen)) for index, gradient in enumerate(gradients)]


def _loss(architecture: Architecture, batch: Batch, rows: Sequence[Row]) -> Float[Tensor, ""]:
    """−Σ log P over all target tokens; the head is run where they are predicted only."""
    width = batch.input_ids.shape[1]
    places = [number * width + place for number, row in enumerate(rows) for place in row.places]
    targets = torch.tensor([token for row in rows for token in row.targets], device=batch.input_ids.device)

    def pick(hidden: Tensor) -> Tensor:
        return hidden.reshape(-1, hidden.shape[-1])[places].unsqueeze(0)

    with changed_input(architecture.head, pick):
        logits: Tensor = architecture.model(**batch.inputs()).logits[0]
    return nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def _chosen(batch: Batch, rows: Sequence[Row], tokens: str) -> Bool[Tensor, "rows width"]:
    if tokens == "all":
        return batch.attention_mask.bool()
    chosen = torch.zeros_like(batch.attention_mask, dtype=torch.bool)
    for number, row in enumerate(rows):
        chosen[number, list(row.places)] = True
    return chosen


def _at(tensor: Tensor, chosen: Bool[Tensor, " places"]) -> Float[Tensor, "tokens d"]:
    return tensor.reshape(len(chosen), -1)[chosen].float().cpu()
