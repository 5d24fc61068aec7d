"""A batch run again and again from one block up, at the cost of the blocks that change and the places that are read.

While the weights of some blocks are trained, nothing below the lowest of them changes: the first pass keeps what comes
out there, and later passes begin with it. All the rest (masks, rotations, norms, head) is the model's own forward
pass. A pass begun so must give what the whole one gave; where it does not, later passes are whole.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from patchmgr.methods.architecture import Architecture
from patchmgr_finetune.examples import Batch
from patchmgr_keyvalue.forwards import blocks_give, changed_input


class Upper:
    """Logits of one batch at its places."""

    def __init__(self, architecture: Architecture, layer: int | None, batch: Batch) -> None:
        """Run the batch once as it is.

        Args:
            architecture: the model, in evaluation mode.
            layer: no block of the decoder below this one changes between passes, and no encoder does; None: any may.
            batch: what is read, and where.
        """
        self._architecture, self.batch = architecture, batch
        self._inputs: dict[str, Any] = batch.inputs
        self._below: tuple[Any, ...] = ()
        self.whole = layer is None or not self._begin_above(layer)
        """Whether every pass runs all blocks: all may change, or one begun in between gives something else."""

    def logits(self) -> Float[Tensor, "places vocabulary"]:
        """Logits as the model is now, float32 or wider."""
        with blocks_give(self._architecture.blocks, self._below):
            return self._read(self._inputs)[0]

    def _begin_above(self, layer: int) -> bool:
        """Keep what need not be computed again, unless a pass without it gives something else."""
        kept: list[Any] = []
        blocks = self._architecture.blocks
        with ExitStack() as stack, torch.no_grad():
            if layer:
                handle = blocks[layer - 1].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
                stack.callback(handle.remove)
            before, encoded = self._read(self.batch.inputs)
            if encoded is not None:
                rest = {name: value for name, value in self.batch.inputs.items() if name != "input_ids"}
                self._inputs = {**rest, "encoder_outputs": BaseModelOutput(last_hidden_state=encoded)}
            self._below = tuple(kept * layer)  # the lower ones are asked too, but only what the last gives is used
            difference = (self.logits() - before).abs().max()
        rounding = max(1e-4, 4 * torch.finfo(self._architecture.model.dtype).eps)
        same = bool(difference <= rounding * before.abs().max())
        if not same:
            self._inputs, self._below = self.batch.inputs, ()
        return same

    def _read(self, inputs: dict[str, Any]) -> tuple[Float[Tensor, "places vocabulary"], Tensor | None]:
        """One pass with the head run at the wanted places only; and what the encoder gave, if there is one."""

        def pick(hidden: Tensor) -> Tensor:
            return hidden.reshape(-1, hidden.shape[-1])[self.batch.flat_places].unsqueeze(0)

        with changed_input(self._architecture.head, pick):
            output = self._architecture.model(**inputs)
        logits: Tensor = output.logits[0]
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return wide, getattr(output, "encoder_last_hidden_state", None)
