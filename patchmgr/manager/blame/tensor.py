"""Which packages wrote a tensor, in the order of the stack; no model is loaded."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError
from patchmgr.manager.blame.contract import TensorBlame, Writer
from patchmgr.manager.states import ModelState, open_packages, read_state

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import GenerationRecord


def blame_tensor(manager: Manager, model: str, name: str) -> TensorBlame:
    """Who wrote a tensor of a model's current state, with how much.

    Args:
        manager: the registry.
        model: which model.
        name: of the tensor in the checkpoint, or of the parameter in the loaded model where packages name that.

    Raises:
        NotFoundError: there is no such model or tensor.
        IntegrityError: a byte of the base's tensor list or of a package is not what its digest says.
    """
    import numpy as np

    from patchmgr.ops.additive import as_sum
    from patchmgr.ops.deltas import finite, norm, tensor_norm
    from patchmgr.package.encodings.contract import matrix_shape

    state = read_state(manager, model)
    tensor = _found(state, name)
    entry, stored = state.base.entry(tensor)[1], state.base.read_bytes(tensor)
    bits, shape = np.frombuffer(stored, np.uint8), matrix_shape(entry.shape)
    touching = [one for one in state.stack if any(touched.name == tensor for touched in one.tensors)]
    past = manager.registry.generations(model)
    writers = []
    for package in open_packages(manager, touching):
        delta = package.deltas(manager.plugins.encodings)[tensor]
        change = as_sum(delta, stored=bits, dtype=entry.dtype, shape=shape)
        since = _since(past, state, package.manifest.digest)
        writers.append(
            Writer(
                package.manifest,
                delta.encoding,
                None if change is None else finite(norm(change)),
                since.number,
                since.created,
                since.message,
            )
        )
    before = state.fingerprint.tensors[tensor].sha256
    return TensorBlame(
        model,
        tensor,
        entry.dtype,
        entry.shape,
        before,
        state.generation.tensors.get(tensor, before),
        tensor_norm(stored, entry.dtype),
        tuple(writers),
    )


def _found(state: ModelState, name: str) -> str:
    """The checkpoint's name of a tensor.

    Raises:
        NotFoundError: there is none; names those most like it.
    """
    modules = {touched.module: touched.name for package in state.stack for touched in package.tensors}
    known = state.base.tensors
    tensor = name if name in known else modules.get(name)
    if tensor is None:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise NotFoundError(
            f"{state.record.name} has no tensor {name!r}",
            hint=f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(sorted(known)[:3])}, …",
        )
    return tensor


def _since(past: tuple[GenerationRecord, ...], state: ModelState, digest: str) -> GenerationRecord:
    """The generation from which on a package has been on the model without a break."""
    first = state.generation
    for generation in reversed(past):
        if generation.number > state.generation.number or generation.status not in ("ready", "removed"):
            continue
        if digest not in generation.packages:
            break
        first = generation
    return first
