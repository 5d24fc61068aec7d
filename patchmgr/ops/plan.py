"""A plan: what a change of the stack would touch and write, worked out without writing anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.ops.stack import Stack, StackChange


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor that will differ from the base, and the packages that it is summed from."""

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a change does to a model."""

    stack: Stack
    added: Stack
    removed: Stack
    tensors: tuple[PlannedTensor, ...]
    written_files: tuple[str, ...]
    written_bytes: int
    linked_files: tuple[str, ...]
    linked_bytes: int
    contradictions: tuple[str, ...] = ()
    """Facts that the added packages and the rest answer differently, in words."""


def make_plan(base: Checkpoint, change: StackChange, kept: Collection[str] = (), *, links: bool = True) -> Plan:
    """The plan of a change.

    Args:
        base: the checkpoint below the stack.
        change: what becomes of the stack.
        kept: weight files that an earlier generation has as they shall be; they are linked.
        links: link what need not be written; otherwise every file is written.

    Raises:
        BaseMismatchError: a package touches a tensor that the base does not have.
    """
    packages: dict[str, list[str]] = {}
    for manifest in change.stack:
        for touched in manifest.tensors:
            packages.setdefault(touched.name, []).append(manifest.reference)
    tensors = tuple(_planned(base, name, tuple(references)) for name, references in packages.items())
    changing = {tensor.file for tensor in tensors} if links else set(base.headers)
    written = tuple(sorted(changing - set(kept)))
    linked = tuple(file for file in base.headers if file not in written)
    return Plan(
        change.stack,
        change.added,
        change.removed,
        tensors,
        written,
        _size(base, written),
        linked,
        _size(base, linked),
        change.contradictions,
    )


def _planned(base: Checkpoint, name: str, packages: tuple[str, ...]) -> PlannedTensor:
    file, entry = base.entry(name)
    return PlannedTensor(name, file, entry.dtype, entry.shape, entry.size_bytes, packages)


def _size(base: Checkpoint, files: tuple[str, ...]) -> int:
    return sum(base.headers[file].size_bytes for file in files)
