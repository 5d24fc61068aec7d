"""Which linear maps are edited: those of the MLPs of the last blocks, on both sides of an encoder-decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection, find_architecture
from patchmgr.methods.contract import LoadedModel
from patchmgr_mend.parameters import MendTraining

LAST_BLOCKS, LAST_BLOCKS_OF_A_SIDE = 3, 2
"""Published: three of a decoder; of an encoder-decoder two on each side."""


def chosen_sites(loaded: LoadedModel, parameters: MendTraining) -> tuple[Projection, ...]:
    """The maps to edit, from the bottom up, an encoder's first.

    Raises:
        MethodError: a layer is out of range, named twice or cannot be edited, or an encoder's layers are asked for
            where there is none.
    """
    decoder = find_architecture(loaded.model, encoder_decoder=True)
    if not loaded.encoder_decoder:
        if parameters.encoder_layers is not None:
            raise MethodError("the model has no encoder", hint="leave encoder_layers out")
        return tuple(_of_side(decoder, parameters.layers, LAST_BLOCKS, parameters))
    encoder = encoder_of(decoder)
    return (
        *_of_side(encoder, parameters.encoder_layers, LAST_BLOCKS_OF_A_SIDE, parameters),
        *_of_side(decoder, parameters.layers, LAST_BLOCKS_OF_A_SIDE, parameters),
    )


def encoder_of(decoder: Architecture) -> Architecture:
    """The blocks of an encoder-decoder's encoder, as :func:`find_architecture` gives those of its decoder.

    Raises:
        MethodError: they cannot be told apart.
    """
    model: Any = decoder.model
    paths = {id(module): name for name, module in model.named_modules()}
    n_blocks = model.config.num_hidden_layers
    found = [
        module
        for module in model.get_encoder().modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_blocks and all(map(_attends, module))
    ]
    if len(found) != 1:
        raise MethodError(
            f"{type(model).__name__} has {len(found)} lists of {n_blocks} encoder blocks, one is needed",
            hint="this architecture cannot be edited by this method",
        )
    return replace(decoder, blocks=tuple(found[0]), blocks_name=paths[id(found[0])])


def _attends(block: nn.Module) -> bool:
    return any("attention" in name.lower() or "attn" in name.lower() for name, _ in block.named_modules())


def _of_side(
    side: Architecture, layers: Sequence[int] | None, last: int, parameters: MendTraining
) -> Iterator[Projection]:
    n_blocks = len(side.blocks)
    chosen = range(max(n_blocks - last, 0), n_blocks) if layers is None else layers
    if len(set(chosen)) != len(chosen):
        raise MethodError(f"layers {list(chosen)} name a block twice", hint="such as layers=3,4,5")
    for layer in sorted(chosen):
        yield from side.projections(layer) if parameters.maps == "mlp" else [side.down_projection(layer)]


def sites_named(loaded: LoadedModel, names: Sequence[str]) -> tuple[Projection, ...]:
    """The maps of an editor in a model.

    Raises:
        MethodError: the model has no such map, or it cannot be edited.
    """
    decoder = find_architecture(loaded.model, encoder_decoder=True)
    sides = (encoder_of(decoder), decoder) if loaded.encoder_decoder else (decoder,)
    layers = [(side, layer) for side in sides for layer in range(len(side.blocks))]
    wanted = [(side, n) for side, n in layers if any(name.startswith(f"{side.blocks_name}.{n}.") for name in names)]
    found = {projection.name: projection for side, layer in wanted for projection in side.projections(layer)}
    for name in names:
        if name not in found:
            raise MethodError(f"the model has no map {name}, which the editor changes", hint="train the editor again")
    return tuple(found[name] for name in names)
