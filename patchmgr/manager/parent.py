"""The state that an edit is computed on: the current one, the pristine base, or the one below a version to continue."""

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
from patchmgr.methods.contract import Method
from patchmgr.ops import stack as stacks
from patchmgr.ops.generation import KeptFileError, write_generation
from patchmgr.ops.stack import Stack

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.order import Continued, EditOrder


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

    The one below a version to continue may have no folder any more; it is written then, for as long as the block lasts.

    Raises:
        IntegrityError: a byte of it is not what its digest says, or a package below it is missing.
    """
    pristine = {name: tensor.sha256 for name, tensor in state.fingerprint.tensors.items()}
    continued = order.continues
    below = tuple(package for package in state.stack if package.kind == "weights")  # a memory changes none of them
    wanted = stacks.digests(below) if continued is None else continued.parent_packages
    if (order.on == "base" and continued is None) or not wanted:
        yield Parent(state.base.folder, stacks.state_root(state.fingerprint), (), pristine)
    elif continued is None or set(wanted) == set(stacks.digests(below)):
        check_current(manager, state)
        root = stacks.state_root(state.fingerprint.with_tensors(state.generation.tensors))
        yield Parent(state.folder, root, below, {**pristine, **state.generation.tensors})
    else:
        with scratch_folder(manager.settings.home / "tmp", "parent-", what="the state below") as scratch:
            stack = stack_of(manager, wanted)
            folder = scratch / "state"
            results = _write(manager, state, stack, folder)
            root = stacks.state_root(state.fingerprint.with_tensors(results))
            _check_root(continued, root)
            yield Parent(folder, root, stack, {**pristine, **results})


def past_state(manager: Manager, stack: Stack, method: Method) -> tuple[Mapping[str, Any], ...]:
    """What the method kept in the packages of a stack that it made itself."""
    own = [manifest for manifest in stack if manifest.method.name == method.name]
    return tuple(package.state for package in open_packages(manager, own))


def _write(manager: Manager, state: ModelState, stack: Stack, folder: Path) -> Mapping[str, str]:
    """The folder of a stack, with what generations have of it linked; the digests of its touched tensors."""

    def advance(done: int, total: int) -> None:
        manager.progress(done, total, "writing the state below (bytes)")

    try:
        return write_generation(make_recipe(manager, state, stack, find_kept(manager, state, stack)), folder, advance)
    except KeptFileError:  # cleared away meanwhile, or a file system without hard links
        return write_generation(make_recipe(manager, state, stack, {}), folder, advance)


def _check_root(continued: Continued, root: str) -> None:
    if root != continued.parent_root:
        raise IntegrityError(
            f"the state below {continued.reference} is {root[:12]}…, and was {continued.parent_root[:12]}…",
            hint="a package is not what it was; run `patchmgr fsck`",
        )
