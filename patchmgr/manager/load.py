"""A model in memory at its current state, or at the state that further packages would give; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.recipe import known_results
from patchmgr.manager.states import ModelState, check_current, open_packages, read_state
from patchmgr.manager.wanted import addition
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack
from patchmgr.ops.sums import collect
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.methods.contract import LoadedModel


def load(
    manager: Manager,
    model: str,
    references: Sequence[str] = (),
    *,
    dtype: Literal["auto", "float32"] = "auto",
    device: str = "cpu",
) -> LoadedModel:
    """Load a model, every byte of it checked.

    The folder of the current generation is mapped where it is there. A state that has none (it was cleared away, or
    packages are only tried) is the base, mapped, with the exact sums of its touched tensors in memory.

    Args:
        manager: the registry; nothing in it is changed.
        model: which model.
        references: packages to try on top of its stack, as :func:`patchmgr.manager.change.apply` would put them there;
            those in folders are not taken into the registry.
        dtype: ``auto`` as stored; ``float32`` widens, which changes no number.
        device: a torch device.

    Returns:
        The model, its tokenizer, and the root of its state.

    Raises:
        NotFoundError: no such model or package, or transformers cannot load it.
        BaseMismatchError: a package was made for another base.
        ConflictError: a package was computed on others that are not there, or two do not go together.
        IntegrityError: a byte of the base, the generation or a package is not what its digest says.
    """
    state = read_state(manager, model)
    return load_stack(manager, state, planned(manager, state, references), references, dtype=dtype, device=device)


def planned(manager: Manager, state: ModelState, references: Sequence[str]) -> Stack:
    """The stack with packages on top of the current one; errors as those of :func:`load`."""
    return addition(manager, references)(state).stack if references else state.stack


def load_stack(
    manager: Manager,
    state: ModelState,
    stack: Stack,
    references: Sequence[str],
    *,
    dtype: Literal["auto", "float32"] = "auto",
    device: str = "cpu",
) -> LoadedModel:
    """Load a stack on a model's base; ``references`` name the folders of packages that are not registered.

    Raises:
        PatchmgrError: as :func:`load`.
    """
    from patchmgr.live.memories import open_router

    manager.progress(0, 1, "loading the model")
    memories = _opened(manager, stacks.memories(stack), references)
    loaded = _weights(manager, state, stack, references, dtype, device)
    return replace(loaded, router=open_router(memories, manager.plugins, loaded))


def _weights(
    manager: Manager,
    state: ModelState,
    stack: Stack,
    references: Sequence[str],
    dtype: Literal["auto", "float32"],
    device: str,
) -> LoadedModel:
    """The model of a stack without its memories, though with the root that counts them."""
    from patchmgr.live.load import load_model
    from patchmgr.live.state import load_state

    if not stack:
        return load_model(state.base.folder, stacks.state_root(state.fingerprint), dtype=dtype, device=device)
    current = stacks.digests(stack) == stacks.digests(state.stack)
    if current and state.generation.folder is not None and state.folder.is_dir():
        check_current(manager, state)
        return load_model(state.folder, state.root, dtype=dtype, device=device)
    after = state.generation.tensors if current else known_results(manager, state.record.base.key, stack)
    sums = collect(_opened(manager, stack, references), manager.plugins.encodings, state.base)
    memories = stacks.memory_roots(stack)
    return load_state(state.base, state.fingerprint, sums, after=after, memories=memories, dtype=dtype, device=device)


def _opened(manager: Manager, stack: Stack, references: Sequence[str]) -> list[EditPackage]:
    """The packages of a stack, from the registry or, when it does not know one, from the folder that was named."""
    folders = [EditPackage.read(folder_of(text)) for text in references if is_folder(text)]
    found = {package.manifest.digest: package for package in folders}
    return [found.get(manifest.digest) or open_packages(manager, [manifest])[0] for manifest in stack]
