"""Replacing what one MLP gives at the last token, at the cost of that token in that block and those above it.

Below the block nothing changes, and neither does any earlier token. So one pass keeps what every block gave, and the
attention keys and values; after it each layer can be tried many times over. Texts of one length go together, so that
nothing is padded. A suffix with nothing replaced must give the logits of the first pass; where a model does not, whole
passes are run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from patchmgr.methods.architecture import Architecture, Projection
from patchmgr_keyvalue.forwards import blocks_give, changed_input, changed_output


class Suffixes:
    """Logits behind the last token of texts of one length, as a function of what one MLP gives there."""

    activations: list[Float[Tensor, "rows _"]]
    """What goes into the down-projection of each block at the last token, float32."""

    def __init__(
        self, architecture: Architecture, projections: Sequence[Projection], ids: Int[Tensor, "rows width"]
    ) -> None:
        """Run the texts once as they are.

        Args:
            architecture: the model.
            projections: the down-projection of every block.
            ids: tokens of the texts.
        """
        self._architecture, self._projections, self._ids = architecture, projections, ids
        self._below, cache, logits = self._first_pass()
        self._pairs = [
            (layer.keys[:, :, :-1], layer.values[:, :, :-1])
            for layer in cache.layers
            if isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        ]
        self.whole = False
        """Whether every pass has to be a whole one."""
        self.whole = ids.shape[1] == 1 or not self._same(logits)

    def product(self, layer: int) -> Float[Tensor, "rows d_out"]:
        """W a of ``layer`` at the last token of each text, float32."""
        return self.activations[layer] @ self._projections[layer].matrix().float().T

    def logits(self, layer: int, product: Float[Tensor, "runs d_out"]) -> Float[Tensor, "runs vocabulary"]:
        """Logits with this for W a of ``layer`` at the last token, float32; differentiable.

        ``product`` holds several runs for each text, those of one text next to each other.
        """
        projection, times = self._projections[layer], len(product) // len(self._ids)
        bias = projection.bias()
        given = product if bias is None else product + bias

        def replace(output: Tensor) -> Tensor:
            by_column = output.reshape(len(given), -1, output.shape[-1])
            whole = torch.cat([by_column[:, :-1], given.to(output.dtype).unsqueeze(1)], dim=1)
            return whole.reshape(output.shape)  # OPT's MLP works on (rows * width, d)

        below = [] if self.whole else [_repeated(output, times) for output in self._below[:layer]]
        with changed_output(projection.module, replace), blocks_give(self._architecture.blocks, below):
            return self._read(self._inputs(times))

    def _inputs(self, times: int) -> dict[str, Any]:
        ids = self._ids.repeat_interleave(times, 0)
        inputs = {"attention_mask": torch.ones_like(ids)}
        if self.whole:
            return {**inputs, "input_ids": ids, "use_cache": False}
        pairs = [(keys.repeat_interleave(times, 0), values.repeat_interleave(times, 0)) for keys, values in self._pairs]
        return {**inputs, "input_ids": ids[:, -1:], "past_key_values": DynamicCache(pairs), "use_cache": True}

    def _first_pass(self) -> tuple[list[Any], DynamicCache, Float[Tensor, "rows vocabulary"]]:
        below: list[Any] = []
        self.activations = []
        cache = DynamicCache()  # without the config: sliding windows would drop the earliest tokens
        rows, width = self._ids.shape

        def keep(tensor: Tensor) -> Tensor:
            self.activations.append(tensor.reshape(rows, width, -1)[:, -1].float())
            return tensor

        with ExitStack() as stack, torch.no_grad():
            for block, projection in zip(self._architecture.blocks, self._projections, strict=True):
                handle = block.register_forward_hook(lambda _module, _inputs, output: below.append(_last(output)))
                stack.callback(handle.remove)
                stack.enter_context(changed_input(projection.module, keep))
            inputs = {"input_ids": self._ids, "attention_mask": torch.ones_like(self._ids), "use_cache": True}
            return below, cache, self._read({**inputs, "past_key_values": cache})

    def _same(self, wanted: Float[Tensor, "rows vocabulary"]) -> bool:
        """Whether the lowest suffix, which runs through all blocks, gives what the first pass gave."""
        with torch.no_grad():
            found = self.logits(0, self.product(0))
        rounding = max(1e-3, 4 * torch.finfo(self._architecture.model.dtype).eps)
        return bool((found - wanted).abs().max() <= rounding * float(wanted.abs().max()))

    def _read(self, inputs: dict[str, Any]) -> Float[Tensor, "runs vocabulary"]:
        with changed_input(self._architecture.head, _last):
            logits: Tensor = self._architecture.model(**inputs).logits[:, -1]
        return logits.float()


def _last(output: Any) -> Any:
    """A block's output at the last token."""
    return (_last(output[0]), *output[1:]) if isinstance(output, tuple) else output[:, -1:]


def _repeated(output: Any, times: int) -> Any:
    """A block's output for several runs of every text."""
    if isinstance(output, tuple):
        return (_repeated(output[0], times), *output[1:])
    return output.repeat_interleave(times, 0)
