"""Running a batch again and again with δ added in one place, at the cost of the blocks above that place.

Below the place nothing changes between passes, so the first pass keeps what the blocks there gave and later passes
hand that out instead of computing it. All the rest (masks, rotations, blocks, norms, head and whatever a model does to
its logits) is the model's own forward pass, so no architecture has to be described. A pass with δ = 0 must then give
the logits of the first one; where it does not, every later pass is a full one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from patchmgr.methods.architecture import Architecture
from patchmgr_keyvalue.forwards import changed_input, changed_output
from patchmgr_keyvalue.rows import Row, pad


class Replay:
    """Logits of one batch at the places that matter, as a function of δ."""

    def __init__(
        self,
        architecture: Architecture,
        site: nn.Module,
        layer: int,
        rows: Sequence[Row],
        places: Sequence[Sequence[int]],
    ) -> None:
        """Run the batch once as it is.

        Args:
            architecture: the model.
            site: the module, in block ``layer``, to whose output δ is added at each row's subject.
            layer: the block, from 0.
            rows: the batch.
            places: for every row the positions whose logits are wanted.
        """
        self._architecture, self._site, self._layer = architecture, site, layer
        self._batch = pad(architecture.model, rows)
        device = self._batch.input_ids.device
        n_rows, width = self._batch.input_ids.shape
        self._flat_places: Int[Tensor, " places"] = torch.tensor(
            [row * width + column for row, columns in enumerate(places) for column in columns], device=device
        )
        columns = torch.tensor([row.subject for row in rows], device=device)
        self._at_subject: Float[Tensor, "rows width 1"] = nn.functional.one_hot(columns, width).float().unsqueeze(-1)
        self.values: Float[Tensor, "rows d_out"]
        """The site's output at each row's subject, float32."""
        self.logits_before: Float[Tensor, "places vocabulary"]
        """Logits without δ, float32."""
        self.below: list[Any] = []
        """What each block below ``layer`` gave; empty when every pass has to be a full one."""
        self._first_pass(columns, n_rows, width)

    def logits(self, delta: Float[Tensor, "rows d_out"]) -> Float[Tensor, "places vocabulary"]:
        """Logits with ``delta`` (one a row) added at the subjects; differentiable in ``delta``."""

        def add(output: Tensor) -> Tensor:
            rows, width, _ = self._at_subject.shape
            change = (self._at_subject * delta.unsqueeze(1)).to(output.dtype)
            return (output.reshape(rows, width, -1) + change).reshape(output.shape)

        with changed_output(self._site, add), _blocks_give(self._architecture.blocks, self.below):
            return self._read()

    def _first_pass(self, columns: Int[Tensor, " rows"], n_rows: int, width: int) -> None:
        below: list[Any] = []

        def keep_values(output: Tensor) -> Tensor:
            picked = output.reshape(n_rows, width, -1)[torch.arange(n_rows, device=columns.device), columns]
            self.values = picked.float()
            return output

        with ExitStack() as stack, torch.no_grad():
            for block in self._architecture.blocks[: self._layer]:
                handle = block.register_forward_hook(lambda _module, _inputs, output: below.append(output))
                stack.callback(handle.remove)
            stack.enter_context(changed_output(self._site, keep_values))
            self.logits_before = self._read()
        with torch.no_grad():
            self.below = below
            if not _agree(self.logits(torch.zeros_like(self.values)), self.logits_before):
                self.below = []

    def _read(self) -> Float[Tensor, "places vocabulary"]:
        """One pass of the model, with the head run at the wanted places only."""

        def pick(hidden: Tensor) -> Tensor:
            return hidden.reshape(-1, hidden.shape[-1])[self._flat_places].unsqueeze(0)

        with changed_input(self._architecture.head, pick):
            output = self._architecture.model(**self._batch.inputs())
        logits: Tensor = output.logits[0]
        return logits.float()


def _agree(logits: Tensor, expected: Tensor) -> bool:
    tolerance = 1e-3 * float(expected.abs().max())
    return logits.shape == expected.shape and bool((logits - expected).abs().max() <= tolerance)


@contextmanager
def _blocks_give(blocks: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """Within, the first ``len(outputs)`` blocks hand out these instead of running."""
    with ExitStack() as stack:
        for block, output in zip(blocks, outputs, strict=False):
            stack.callback(_restore_forward, block, block.__dict__.get("forward"))
            block.forward = _giving(output)
        yield


def _giving(output: Any) -> Any:
    def forward(*_arguments: Any, **_options: Any) -> Any:
        return output

    return forward


def _restore_forward(block: nn.Module, own: Any) -> None:
    """Put back a ``forward`` that lay on the instance (accelerate does so), or uncover the class's."""
    if own is None:
        block.__dict__.pop("forward", None)
    else:
        block.forward = own
