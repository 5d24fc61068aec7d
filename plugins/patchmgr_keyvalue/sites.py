"""Which block to edit, derived from the depth of the model where the user does not say."""

from __future__ import annotations

from patchmgr.methods.architecture import Architecture, Projection


def default_layer(n_blocks: int) -> int:
    """The topmost block of the lowest sixth, counted from 0.

    The published sites lie about there (GPT-J: 5 of 28, Llama-2-7B: 5 of 32) and up to a third of the way (GPT2-XL: 17
    of 48); on the demo base the low end edits better.

    >>> [default_layer(n) for n in (2, 6, 8, 28, 32)]
    [0, 0, 1, 4, 5]
    """
    return (n_blocks - 1) // 6


def chosen_projection(architecture: Architecture, layer: int | None) -> tuple[int, Projection]:
    """The layer, derived if None, and its down-projection.

    Raises:
        MethodError: the layer is out of range or cannot be edited.
    """
    chosen = default_layer(len(architecture.blocks)) if layer is None else layer
    return chosen, architecture.down_projection(chosen)
