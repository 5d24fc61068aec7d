"""Which linear maps are edited, derived from the depth of the model where the user names none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection
from patchmgr_ultraedit.parameters import UltraEditParameters


def default_layers(n_blocks: int) -> tuple[int, ...]:
    """Blocks whose down-projection is edited: the upper third but for the last block, from 0.

    Published are 18 to 26 of 28 (GPT-J, Qwen2.5-7B) and 29 to 30 of 32 (Mistral-7B).

    >>> [default_layers(n) for n in (1, 2, 3, 6, 12)]
    [(0,), (0,), (1,), (4,), (8, 9, 10)]
    >>> default_layers(28)[0], default_layers(28)[-1]
    (18, 26)
    """
    last = max(n_blocks - 2, 0)
    return tuple(range(min(2 * n_blocks // 3, last), last + 1))


def chosen_sites(architecture: Architecture, parameters: UltraEditParameters) -> tuple[Projection, ...]:
    """The maps to edit, from the bottom up.

    Raises:
        MethodError: a layer is out of range, cannot be edited or has no gate, or is named twice.
    """
    down, up, gate = parameters.down_layers, parameters.up_layers, parameters.gate_layers
    if not (down or up or gate):
        down = default_layers(len(architecture.blocks))
    for layers in (down, up, gate):
        if len(set(layers)) != len(layers):
            raise MethodError(f"layers {list(layers)} name a block twice", hint="such as down_layers=3,4,5")
    found: dict[str, Projection] = {}
    for layer in sorted({*down, *up, *gate}):
        for projection in _of_block(architecture, layer, gate=layer in gate, up=layer in up, down=layer in down):
            found[projection.name] = projection  # a fused gate and up is one map
    return tuple(found.values())


def _of_block(architecture: Architecture, layer: int, *, gate: bool, up: bool, down: bool) -> Iterator[Projection]:
    last = architecture.down_projection(layer)
    widening = [
        projection
        for projection in architecture.projections(layer)
        if projection.module is not last.module
        and projection.d_in == architecture.hidden_size
        and projection.d_out in (last.d_in, 2 * last.d_in)
    ]
    gates = [projection for projection in widening if "gate" in projection.name.rpartition(".")[2]]
    if gate:
        yield from _one(gates, layer, "gate")
    if up:
        yield from _one([own for own in widening if own not in gates] or gates, layer, "first projection")
    if down:
        yield last


def _one(found: Sequence[Projection], layer: int, what: str) -> Sequence[Projection]:
    if len(found) != 1:
        raise MethodError(
            f"the MLP of block {layer} has {len(found)} maps that could be its {what}, one is needed",
            hint="edit another projection: down_layers, up_layers or gate_layers",
        )
    return found
