"""Where LoRA blocks lie in a model, how they are put in, and how one is trained.

Plain hooks on a twin do what PEFT's layer would: a block is two small matrices a projection, the twin keeps everything
else as it is, and nothing has to be installed to answer with a package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from patchmgr.errors import FormatError
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_finetune.examples import Example, batched
from patchmgr_finetune.training import Task, Variable, train
from patchmgr_finetune.upper import Upper
from patchmgr_inside.answers import mean_loss
from patchmgr_inside.place import Place
from patchmgr_melo.equations import Pair, Shape, new_block, with_block
from patchmgr_melo.parameters import MeloParameters

_ROWS = 64
"""Prompts in one pass."""


@dataclass(frozen=True, eq=False)
class Sites:
    """The projections that a block works on."""

    place: Place
    layers: tuple[int, ...]
    rank: int
    scale: float

    @property
    def shapes(self) -> list[Shape]:
        """(d_out, d_in) of each."""
        found = [self.place.architecture.down_projection(layer) for layer in self.layers]
        return [(each.d_out, each.d_in) for each in found]

    def put_in(self, pairs: Sequence[Pair]) -> list[RemovableHandle]:
        """Let every projection of the twin add its part of a block.

        Raises:
            MethodError: the model has no such layer.
        """
        return [
            self.place.architecture.down_projection(layer).module.register_forward_hook(_adds(pair, self.scale))
            for layer, pair in zip(self.layers, pairs, strict=True)
        ]


def _adds(pair: Pair, scale: float) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    A, B = pair

    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return with_block(output, inputs[0], A.to(output.device), B.to(output.device), scale)

    return hook


def default_layers(layer: int, n_blocks: int) -> tuple[int, ...]:
    """The key's block and the two above it, as far as there are any.

    >>> default_layers(4, 6), default_layers(25, 32)
    ((4, 5), (25, 26, 27))
    """
    return tuple(range(layer, min(layer + 3, n_blocks)))


def form_of(bundle: MemoryBundle) -> tuple[tuple[int, ...], int, float]:
    """Layers, rank and scale of a bundle's blocks.

    Raises:
        FormatError: it does not say.
    """
    try:
        settings = bundle.config.settings
        layers, rank = tuple(int(layer) for layer in settings["layers"]), int(settings["rank"])
        scale = float(settings["scale"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{bundle.reference}: its memory lacks {error}", hint="do not use it") from None
    if rank < 1 or not layers or not 0 < scale < math.inf:
        said = f"its blocks have rank {rank} and scale {scale} in {len(layers)} layers"
        raise FormatError(f"{bundle.reference}: {said}", hint="do not use it")
    return layers, rank, scale


def trained_block(
    sites: Sites, rows: Sequence[Example], parameters: MeloParameters, seed: int, progress: Callable[[int, int], None]
) -> list[Pair]:
    """A cluster's block, trained from nothing on the answers of all its members; clusters do not depend on each other.

    Adam on the mean over the members of −log P of the answer, a mean over its tokens.

    Args:
        sites: on a twin, without a block in it.
        rows: prompts with their answers.
        parameters: of the method.
        seed: decides where A begins, alike for all clusters.
        progress: called with (done, total) in steps.

    Raises:
        MethodError: a loss is not finite.
        RequestError: a prompt is too long for the model.
    """
    place = sites.place
    chunks = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    uppers = [Upper(place.architecture, min(sites.layers), batched(place.model, some)) for some in chunks]
    device = place.model.device
    drawn = new_block(sites.shapes, sites.rank, torch.Generator().manual_seed(seed))
    pairs = [(A.to(device).requires_grad_(), B.to(device).requires_grad_()) for A, B in drawn]
    with ExitStack() as stack:
        for handle in sites.put_in(pairs):
            stack.callback(handle.remove)
        train(
            [Variable(part, parameters.learning_rate) for pair in pairs for part in pair],
            [Task(partial(mean_loss, upper), upper.batch.n_examples) for upper in uppers],
            rounds=parameters.steps,
            stop_loss=parameters.stop_loss,
            after_step=lambda _step, _gradients: None,
            progress=progress,
        )
    return [(A.detach(), B.detach()) for A, B in pairs]
