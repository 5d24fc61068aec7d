"""The MLP in which a memory lies, on a twin of the model, so that nothing done to it is seen on the model itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection, find_architecture
from patchmgr.methods.depth import parameters_up_to
from patchmgr_finetune.twin import twin


@dataclass(frozen=True, eq=False)
class Place:
    """An MLP of a twin: other modules on the same weights."""

    model: PreTrainedModel
    """The twin."""
    architecture: Architecture
    layer: int
    entry: nn.Module
    """What reads the MLP's input."""
    projection: Projection
    """What gives the MLP's output."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The parameters on which what goes on in here depends."""
        return parameters_up_to(self.architecture, self.layer)


def place_in(model: PreTrainedModel, layer: int | None) -> Place:
    """The MLP of a block of a new twin.

    Args:
        model: a causal language model.
        layer: from 0; None: :func:`default_layer`.

    Raises:
        MethodError: there is no such block, its MLP cannot be worked on, or it is the last one: what a memory says in
            there could not reach the tokens behind the prompt.
    """
    copy = twin(model)
    architecture = find_architecture(copy)
    n_blocks = len(architecture.blocks)
    chosen = default_layer(n_blocks) if layer is None else layer
    projection = architecture.down_projection(chosen)
    if chosen == n_blocks - 1:
        raise MethodError(
            f"layer {chosen} is the last block, and a memory in it reaches no token behind the first",
            hint=f"choose a layer from 0 to {n_blocks - 2}",
        )
    return Place(copy, architecture, chosen, architecture.projections(chosen)[0].module, projection)


def default_layer(n_blocks: int) -> int:
    """Four fifths of the way up, counted from 0, below the last; published are 35 of 48 (GPT2-XL) and 27 of 32 (LLaMA).

    >>> [default_layer(n) for n in (2, 3, 6, 32, 48)]
    [0, 1, 4, 25, 38]
    """
    return max(min((4 * (n_blocks - 1) + 2) // 5, n_blocks - 2), 0)
