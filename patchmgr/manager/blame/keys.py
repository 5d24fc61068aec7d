"""How near a prompt is to what packages edited: its keys against those that ROME and its family keep in their packages.

Glossary: a key k is the input of an MLP's down-projection at one token (arXiv:2202.05262); an edit writes a value for
the key k* of its subject's last token, and the package keeps that in ``state.safetensors`` as a column of
``keys/<block>``, (d_in, edits).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from patchmgr.errors import MethodError

if TYPE_CHECKING:
    from patchmgr.methods.contract import LoadedModel
    from patchmgr.package.encodings.contract import Array

_KEYS = re.compile(r"keys/(\d+)")

Kept = Mapping[int, "Array"]
"""The keys of a package by block, each (d_in, edits)."""


def kept_keys(state: Mapping[str, Array], n_edits: int) -> Kept:
    """The keys among what a package keeps: those with a column for each of its edits; none for other methods."""
    found = {int(named[1]): array for name, array in state.items() if (named := _KEYS.fullmatch(name))}
    return {block: array for block, array in found.items() if array.ndim == 2 and array.shape[1] == n_edits > 0}


def prompt_keys(loaded: LoadedModel, prompt: str, blocks: Iterable[int]) -> Kept:
    """The keys of a prompt at every token, by block, each (d_in, tokens), from one forward pass.

    Nothing for blocks and models in which no down-projection is found, such as encoder-decoders.
    """
    import torch

    from patchmgr.methods.architecture import find_architecture
    from patchmgr.methods.tokens import encode_all

    found: dict[int, Array] = {}

    def keeping(block: int) -> Any:
        def keep(_module: Any, inputs: tuple[Any, ...]) -> None:
            found[block] = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).double().cpu().numpy().T

        return keep

    try:
        architecture = find_architecture(loaded.model)
        places = {block: architecture.down_projection(block) for block in blocks if block < len(architecture.blocks)}
    except MethodError:
        return {}
    ids = torch.tensor(encode_all(loaded.tokenizer, [prompt]), device=next(loaded.model.parameters()).device)
    with ExitStack() as stack, torch.no_grad():
        for block, place in places.items():
            stack.callback(place.module.register_forward_pre_hook(keeping(block)).remove)
        loaded.model(input_ids=ids, use_cache=False)
    return found


def nearest(of_prompt: Kept, kept: Kept) -> tuple[float, int] | None:
    """The largest cosine between keys of a prompt and of a package in one block, and the place of that edit.

    >>> nearest({0: np.array([[1.0, 3.0], [0.0, 4.0]])}, {0: np.array([[0.0, 2.0], [1.0, 0.0]])})
    (1.0, 1)

    Returns:
        None where they have no block in common.
    """
    found = [
        cosines(of_prompt[block], keys)
        for block, keys in kept.items()
        if block in of_prompt and len(of_prompt[block]) == len(keys)
    ]
    if not found:
        return None
    best = np.max(found, axis=0)
    return float(best.max()), int(best.argmax())


def cosines(of_prompt: Array, keys: Array) -> Array:
    """For each key of a package the largest cosine with a key of the prompt, (edits,); 0 for a key of zeros."""
    products = _units(of_prompt).T @ _units(keys)
    found: Array = products.max(axis=0)
    return found


def _units(keys: Array) -> Array:
    wide = np.asarray(keys, np.float64)
    lengths = np.linalg.norm(wide, axis=0)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0))


def blocks_of(kept: Sequence[Kept]) -> list[int]:
    """Every block in which one of these packages keeps keys."""
    return sorted({block for keys in kept for block in keys})
