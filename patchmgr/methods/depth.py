"""What an activation inside a model depends on: every parameter that is read before it, and no other."""

from __future__ import annotations

from patchmgr.methods.architecture import Architecture


def parameters_up_to(architecture: Architecture, layer: int) -> tuple[str, ...]:
    """The parameters that decide what happens in block ``layer``, its own among them, once each.

    These are the embeddings and all blocks up to it. What lies behind (later blocks, final norm, an own head) does
    not count; a head that is tied to the embeddings does, by their name.
    """
    parent = architecture.blocks_name.rpartition(".")[0]
    behind = [f"{architecture.blocks_name}.{number}." for number in range(layer + 1, len(architecture.blocks))]
    names = {id(module): name for name, module in architecture.model.named_modules()}
    if architecture.final_norm is not None:
        behind.append(f"{names[id(architecture.final_norm)]}.")
    return tuple(
        name
        for name, _ in architecture.model.named_parameters()
        if name.startswith(f"{parent}.") and not name.startswith(tuple(behind))
    )
