"""What goes into the edited maps, and the gradients by what comes out, at every token of some edits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from patchmgr.methods.architecture import Projection
from patchmgr_finetune.equations import answer_loss
from patchmgr_finetune.examples import Batch, Example, batched
from patchmgr_mend.equations import present


@dataclass(frozen=True, eq=False)
class Trace:
    """The tokens of edits at one map, float32; an encoder's map has the encoder's tokens."""

    u: Float[Tensor, "edits width d_in"]
    delta: Float[Tensor, "edits width d_out"]

    def in_groups(self, size: int) -> Trace:
        """With the tokens of every so many edits in one row."""
        edits, width, _ = self.u.shape
        shape = (edits // size, size * width, -1)
        return Trace(self.u.reshape(shape), self.delta.reshape(shape))

    @property
    def present(self) -> Bool[Tensor, "edits width"]:
        """Which tokens count."""
        return present(self.u, self.delta)


class _Tap:
    """A hook that keeps what goes into a map, and adds zeros to what comes out whose gradient can be asked for."""

    def __init__(self) -> None:
        self.input = self.move = torch.zeros(())

    def __call__(self, _module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        self.input, self.move = inputs[0].detach(), torch.zeros_like(output, requires_grad=True)
        return output + self.move


def traced(
    model: nn.Module, head: nn.Module, sites: Sequence[Projection], examples: Sequence[Example]
) -> tuple[Trace, ...]:
    """The tokens of some edits at each map, in one pass forth and back, each edit under its own mean loss.

    Call it within ``without_gradients_of(model)``. Padding has a gradient of zero.

    Raises:
        RequestError: an edit is longer than the model can read.
    """
    batch, taps = batched(model, examples), [_Tap() for _ in sites]
    with hooked([site.module.register_forward_hook(tap) for site, tap in zip(sites, taps, strict=True)]):
        with torch.enable_grad():
            logits = logits_at(model, head, batch)
            loss = answer_loss(logits, batch.at, batch.targets, batch.weights * batch.n_examples)
        gradients = torch.autograd.grad(loss, [tap.move for tap in taps])
    n_edits = len(examples)
    return tuple(
        Trace(_rows(tap.input, n_edits), _rows(gradient, n_edits))
        for tap, gradient in zip(taps, gradients, strict=True)
    )


def logits_at(model: nn.Module, head: nn.Module, batch: Batch) -> Float[Tensor, "places vocabulary"]:
    """Logits at the batch's places, float32 or wider; the head is run nowhere else."""
    with hooked([head.register_forward_pre_hook(partial(_picked, batch.flat_places))]):
        logits: Tensor = model(**batch.inputs).logits[0]
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@contextmanager
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Within, some hooks are at work; they go away after."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _picked(places: Tensor, _module: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    hidden = inputs[0]
    return (hidden.reshape(-1, hidden.shape[-1])[places].unsqueeze(0), *inputs[1:])


def _rows(tensor: Tensor, edits: int) -> Float[Tensor, "edits width d"]:
    """OPT's MLP works on (rows * width, d)."""
    return tensor.reshape(edits, -1, tensor.shape[-1]).float()
