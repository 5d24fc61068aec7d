"""The state that an edit is computed on: the current one, the pristine base, or that of any packages on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.durable import scratch_folder
from patchmgr.errors import IntegrityError
from patchmgr.manager.recipe import find_kept, make_recipe
from patchmgr.manager.states import ModelState, check_current, open_packages, stack_of
from patchmgr.ops import stack as stacks
from patchmgr.ops.generation import KeptFileError, write_generation
from patchmgr.ops.stack import Stack

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import EditOrder

MERGE_SUM = "merge-sum"
"""What stands for the method of a package that is the sum of others."""
PEFT_IMPORT = "peft-import"
"""What stands for the method of a package that was a LoRA adapter of somebody else's."""


@dataclass(frozen=True)
class Parent:
    """A state as a checkpoint."""

    folder: Path
    root: str
    stack: Stack
    digests: Mapping[str, str]
    """SHA-256 of every tensor."""


@contextlib.contextmanager
def opened_parent(manager: Manager, state: ModelState, order: EditOrder) -> Iterator[Parent]:
    """The state that an order is computed on, every byte of it checked.

    One that is not the model's present state may have no folder; it is written then, for as long as the block lasts.

    Raises:
        IntegrityError: a byte of it is not what its digest says, or a package below it is missing.
    """
    pristine = {name: tensor.sha256 for name, tensor in state.fingerprint.tensors.items()}
    now = tuple(package for package in state.stack if package.kind == "weights")  # a memory changes none of them
    wanted = () if order.on == "base" else stacks.digests(now)
    if order.below is not None:
        wanted = order.below.packages
    if not wanted:
        yield Parent(state.base.folder, stacks.state_root(state.fingerprint), (), pristine)
    elif set(wanted) == set(stacks.digests(now)):
        check_current(manager, state)
        root = stacks.state_root(state.fingerprint.with_tensors(state.generation.tensors))
        yield Parent(state.folder, root, now, {**pristine, **state.generation.tensors})
    else:
        with scratch_folder(manager.settings.home / "tmp", "parent-", what="the state below") as scratch:
            stack = stack_of(manager, wanted)
            folder = scratch / "state"
            results = _write(manager, state, stack, folder)
            root = stacks.state_root(state.fingerprint.with_tensors(results))
            _check_root(order, root)
            yield Parent(folder, root, stack, {**pristine, **results})


def past_state(manager: Manager, stack: Stack, method: str) -> tuple[Mapping[str, Any], ...]:
    """What a method kept in the packages of a stack that it made itself, in their order.

    The sum of packages has what each of them kept, under its place in the sum.
    """
    found: list[Mapping[str, Any]] = []
    for manifest in stack:
        summed = manifest.method.parameters.get("packages", ()) if manifest.method.name == MERGE_SUM else ()
        if manifest.method.name != method and all(part["method"] != method for part in summed):
            continue
        (package,) = open_packages(manager, [manifest])
        if not summed:
            found.append(package.state)
        for place, part in enumerate(summed):
            if part["method"] == method:
                mark = f"{place}/"
                found.append({k.removeprefix(mark): v for k, v in package.state.items() if k.startswith(mark)})
    return tuple(found)


def _write(manager: Manager, state: ModelState, stack: Stack, folder: Path) -> Mapping[str, str]:
    """The folder of a stack, with what generations have of it linked; the digests of its touched tensors."""

    def advance(done: int, total: int) -> None:
        manager.progress(done, total, "writing the state below (bytes)")

    try:
        return write_generation(make_recipe(manager, state, stack, find_kept(manager, state, stack)), folder, advance)
    except KeptFileError:  # cleared away meanwhile, or a file system without hard links
        return write_generation(make_recipe(manager, state, stack, {}), folder, advance)


def _check_root(order: EditOrder, root: str) -> None:
    wanted = None if order.below is None else order.below.root
    if wanted not in (None, root):
        below = order.name if order.continues is None else order.continues.reference
        raise IntegrityError(
            f"the state below {below} is {root[:12]}…, and was {str(wanted)[:12]}…",
            hint="a package is not what it was; run `patchmgr fsck`",
        )
