"""Σ k kᵀ over a text, of several layers in one pass; work that was cut short goes on where it was last kept.

The same text gives the same bits, however often the work was interrupted: products of a block are float32, they are
added in float64 in the order of the blocks, and what is kept between them is the float64 sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from patchmgr.durable import sync_file
from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Projection
from patchmgr.methods.contract import LoadedModel
from patchmgr_keyvalue.forwards import inputs_of
from patchmgr_keyvalue.rows import Batch
from patchmgr_keyvalue.texts import Block, Mark, Text

KEEP_EVERY_S = 30.0
"""How much work may be lost; writing takes a tenth of the time at most."""


@dataclass(eq=False)
class Sums:
    """Sums over the tokens read so far, on the model's device."""

    totals: list[Float[Tensor, "_ _"]]
    """Σ k kᵀ of each projection, float64."""
    firsts: list[Float[Tensor, "_ _"]]
    """The same over the upper half of each block's rows; empty unless asked for."""
    n_tokens: int = 0
    n_first: int = 0
    """Tokens in :attr:`firsts`."""
    n_blocks: int = 0
    is_enough: bool = False
    """Whether reading stopped because it was enough."""
    mark: Mark = field(default_factory=lambda: np.empty(0, dtype=np.uint8))

    @classmethod
    def zero(cls, projections: Sequence[Projection], *, halves: bool) -> Sums:
        """Nothing read yet."""
        sizes = [(each.d_in, each.matrix().device) for each in projections]
        totals, firsts = (
            [torch.zeros(d_in, d_in, dtype=torch.float64, device=device) for d_in, device in chosen]
            for chosen in (sizes, sizes if halves else [])
        )
        return cls(totals, firsts)

    def add(self, loaded: LoadedModel, projections: Sequence[Projection], block: Block) -> None:
        """Read one more block."""
        device = next(loaded.model.parameters()).device
        on_device = Batch(block.batch.input_ids.to(device), block.batch.attention_mask.to(device))
        inputs = inputs_of(loaded.model, [each.module for each in projections], on_device)
        middle = len(block.batch.input_ids) // 2
        upper, lower = block.rows(0, middle), block.rows(middle, len(block.batch.input_ids))
        for index, keys in enumerate(inputs):
            first, second = upper.counted(keys[:middle]), lower.counted(keys[middle:])
            product = first.T @ first
            self.totals[index].add_(product).add_(second.T @ second)
            if self.firsts:
                self.firsts[index].add_(product)
        self.n_tokens += block.n_tokens
        self.n_first += upper.n_tokens
        self.n_blocks += 1
        self.mark = block.mark


def summed(
    loaded: LoadedModel,
    projections: Sequence[Projection],
    text: Text,
    *,
    n_tokens: int,
    progress: Callable[[int, int], None],
    kept: Path,
    halves: bool = False,
    enough: Callable[[Sums], bool] | None = None,
    keep_every_s: float = KEEP_EVERY_S,
) -> Sums:
    """Read a text up to ``n_tokens`` (rounded up to a row), or until it is enough.

    Args:
        loaded: the model, in evaluation mode.
        projections: whose inputs to read, from the bottom up.
        text: what to read.
        n_tokens: at most so many tokens; a shorter text is read to its end.
        progress: called with (done, total) in tokens.
        kept: the file that work goes on from, if it is there; the caller removes it when the result is safe.
        halves: also sum the upper halves of blocks.
        enough: asked when 2, 4, 8, … blocks are read; whether to stop.
        keep_every_s: how often to keep what there is, in seconds.

    Raises:
        MethodError: the text is empty, or a sum is not finite.
    """
    sums = _resumed(kept, projections, n_tokens, halves=halves) or Sums.zero(projections, halves=halves)
    last, took_s = time.monotonic(), 0.0
    progress(sums.n_tokens, n_tokens)
    for block in text.blocks(loaded, n_tokens, sums.n_blocks, sums.mark):
        sums.add(loaded, projections, block)
        progress(min(sums.n_tokens, n_tokens), n_tokens)
        if _is_enough(sums, enough) and sums.n_tokens < n_tokens:
            sums.is_enough = True
            break
        if time.monotonic() - last >= max(keep_every_s, 10 * took_s) and sums.n_tokens < n_tokens:
            started = time.monotonic()
            _keep(sums, kept)
            last = time.monotonic()
            took_s = last - started
    if not sums.n_tokens:
        raise MethodError("the corpus for statistics holds no text", hint="give a text file, or none at all")
    for projection, total in zip(projections, sums.totals, strict=True):
        if not bool(total.isfinite().all()):
            raise MethodError(f"inputs of {projection.name} are not finite", hint="load the model as float32")
    return sums


def _is_enough(sums: Sums, enough: Callable[[Sums], bool] | None) -> bool:
    """Asked at powers of two only, so that the answer depends on what was read and not on interruptions."""
    asked = sums.n_blocks >= 2 and sums.n_blocks & (sums.n_blocks - 1) == 0
    return enough is not None and asked and enough(sums)


def _keep(sums: Sums, kept: Path) -> None:
    arrays = {f"total/{index}": total.cpu().numpy() for index, total in enumerate(sums.totals)}
    arrays |= {f"first/{index}": first.cpu().numpy() for index, first in enumerate(sums.firsts)}
    arrays["counts"] = np.array([sums.n_tokens, sums.n_first, sums.n_blocks])
    arrays["mark"] = sums.mark
    temporary = kept.with_name(f"{kept.name}.new")
    save_file(arrays, temporary)
    sync_file(temporary)
    temporary.replace(kept)


def _resumed(kept: Path, projections: Sequence[Projection], n_tokens: int, *, halves: bool) -> Sums | None:
    """What was kept; None when there is nothing, it is damaged, or it reaches further than is wanted."""
    try:
        arrays = load_file(kept)
        n_read, n_first, n_blocks = (int(count) for count in arrays["counts"])
        sums = Sums.zero(projections, halves=halves)
        for name, sides in (("total", sums.totals), ("first", sums.firsts)):
            for index, side in enumerate(sides):
                side.copy_(torch.from_numpy(arrays[f"{name}/{index}"]))
        sums.n_tokens, sums.n_first, sums.n_blocks, sums.mark = n_read, n_first, n_blocks, arrays["mark"]
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError):
        return None
    return sums if n_read < n_tokens else None
