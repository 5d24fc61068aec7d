"""Training GRACE's values: what an MLP shall give at the last token of a prompt so that the answer follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr_finetune.equations import Moments, adam_step_
from patchmgr_finetune.examples import Example, batched
from patchmgr_finetune.upper import Upper
from patchmgr_grace.parameters import GraceParameters
from patchmgr_inside.answers import row_losses
from patchmgr_inside.ends import Places
from patchmgr_inside.place import Place
from patchmgr_keyvalue.forwards import changed_output, output_of

_ROWS = 64
"""Prompts in one pass."""


def trained_values(
    place: Place,
    rows: Sequence[Example],
    of_cell: Sequence[int],
    parameters: GraceParameters,
    seeds: Sequence[int],
    progress: Callable[[int, int], None],
) -> Float[Tensor, "cells width"]:
    """A value for each cell, trained on the prompts of all its members.

    Cells do not depend on each other, but for the last bits, since several are run together. Adam on the mean over a
    cell's members of −log P of the answer, a mean over its tokens; a cell whose loss is below ``stop_loss`` keeps the
    value that it has.

    Args:
        place: the MLP, on a twin.
        rows: prompts with their answers.
        of_cell: the cell of each row, counted from 0 without gaps.
        parameters: of the method.
        seeds: of each cell, for a cold start.
        progress: called with (done, total) in steps.

    Raises:
        MethodError: a loss is not finite.
        RequestError: a prompt is too long for the model.
    """
    order = sorted(range(max(of_cell) + 1), key=of_cell.index)
    chunks = _chunks(order, of_cell)
    found: list[Tensor] = [torch.empty(0)] * len(order)
    for number, cells in enumerate(chunks):
        chosen = [row for row, cell in enumerate(of_cell) if cell in cells]
        numbers = torch.tensor([cells.index(of_cell[row]) for row in chosen])
        done = number * parameters.steps
        advance = partial(_advance, progress, done, len(chunks) * parameters.steps)
        some = [rows[row] for row in chosen]
        values = _trained(place, some, numbers, parameters, [seeds[cell] for cell in cells], advance)
        for cell, value in zip(cells, values, strict=True):
            found[cell] = value
    return torch.stack(found)


def _advance(progress: Callable[[int, int], None], before: int, total: int, step: int) -> None:
    progress(before + step, total)


def _chunks(cells: Sequence[int], of_cell: Sequence[int]) -> list[list[int]]:
    """Cells with about so many rows together as one pass takes."""
    chunks: list[list[int]] = [[]]
    held = 0
    for cell in cells:
        n_rows = of_cell.count(cell)
        if chunks[-1] and held + n_rows > _ROWS:
            chunks.append([])
            held = 0
        chunks[-1].append(cell)
        held += n_rows
    return chunks


def _trained(
    place: Place,
    rows: Sequence[Example],
    of_cell: Int[Tensor, " rows"],
    parameters: GraceParameters,
    seeds: Sequence[int],
    progress: Callable[[int], None],
) -> Float[Tensor, "cells width"]:
    batch = batched(place.model, rows)
    upper = Upper(place.architecture, place.layer, batch)
    device = batch.flat_places.device
    of_cell = of_cell.to(device)
    ends = torch.tensor([row.places[0] for row in rows], device=device)
    values = start_values(place, batch.inputs, ends, of_cell, parameters, seeds).requires_grad_()
    moments = Moments(torch.zeros_like(values), torch.zeros_like(values))
    n_tokens = [len(row.targets) for row in rows]
    places = (torch.arange(len(rows), device=device), ends)
    with changed_output(place.projection.module, lambda given: exchanged(given, len(rows), places, values[of_cell])):
        for step in range(1, parameters.steps + 1):
            progress(step - 1)
            with torch.enable_grad():
                losses = cell_means(row_losses(upper, n_tokens), of_cell, len(values))
                total = losses.sum()
            if not torch.isfinite(total):
                raise MethodError("the loss of a value is not a finite number", hint="use a smaller learning_rate")
            learning = (losses.detach() >= parameters.stop_loss).to(device)
            if not learning.any():
                break
            (gradient,) = torch.autograd.grad(total, [values])
            with torch.no_grad():
                kept = values[~learning].clone()
                adam_step_(values, gradient, moments, step, parameters.learning_rate)
                values[~learning] = kept
    return values.detach()


def start_values(
    place: Place,
    inputs: dict[str, Tensor],
    ends: Int[Tensor, " rows"],
    of_cell: Int[Tensor, " rows"],
    parameters: GraceParameters,
    seeds: Sequence[int],
) -> Float[Tensor, "cells width"]:
    """Where values begin, float32: what the MLP gives for the first member of each cell, or noise from its seed."""
    n_cells = len(seeds)
    if parameters.start == "cold":
        width = place.projection.d_out
        drawn = [torch.rand(width, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(drawn).to(ends.device)
    given = output_of(place.model, place.projection.module, inputs)
    rows = given.reshape(len(ends), -1, given.shape[-1])[torch.arange(len(ends)), ends.cpu()]
    first = [int((of_cell == cell).int().argmax()) for cell in range(n_cells)]
    return rows[first].float().to(ends.device).clone()


def exchanged(given: Tensor, n_rows: int, places: Places, values: Float[Tensor, "ends width"]) -> Tensor:
    """The output of an MLP with other values at some places; some MLPs flatten rows and tokens.

    Args:
        given: what it is.
        n_rows: of the pass.
        places: row and column of each value.
        values: what it shall be there.
    """
    whole = given.reshape(n_rows, -1, given.shape[-1]).clone()
    rows, columns = (each.to(whole.device) for each in places)
    whole[rows, columns] = values.to(whole)
    return whole.reshape(given.shape)


def cell_means(losses: Float[Tensor, " rows"], of_cell: Int[Tensor, " rows"], n_cells: int) -> Float[Tensor, " cells"]:
    """The mean loss of each cell's rows, where the losses are.

    >>> cell_means(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 1]), 2).tolist()
    [1.0, 3.0]
    """
    zeros, of_cell = losses.new_zeros(n_cells), of_cell.to(losses.device)
    return zeros.index_add(0, of_cell, losses) / zeros.index_add(0, of_cell, torch.ones_like(losses))
