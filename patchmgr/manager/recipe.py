"""How a stack is made into a folder with the least work: what must be summed, and what an earlier generation has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import PatchmgrError
from patchmgr.manager.states import ModelState, fingerprint_of, open_packages, stack_of
from patchmgr.ops import stack as stacks
from patchmgr.ops.generation import KeptFile, Recipe
from patchmgr.ops.stack import Stack
from patchmgr.ops.sums import collect

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import BaseKey, GenerationRecord

LOOKED_AT = 20
"""Generations that are looked at for files to keep, the newest first."""

_Sources = Mapping[str, frozenset[str]]
"""For each touched file, the digests of the packages that touch it: equal sets give equal bytes."""


def make_recipe(
    manager: Manager, state: ModelState, stack: Stack, kept: Mapping[str, KeptFile], *, links: bool = True
) -> Recipe:
    """What the folder of a stack is made of; only packages that touch a file to be written are opened.

    Raises:
        IntegrityError: a package's file is missing or damaged.
        ConflictError: two packages replace one tensor.
    """
    needed = [manifest for manifest in stack if any(state.base.entry(t.name)[0] not in kept for t in manifest.tensors)]
    found = collect(open_packages(manager, needed), manager.plugins.encodings, state.base) if needed else {}
    sums = {name: deltas for name, deltas in found.items() if state.base.entry(name)[0] not in kept}
    return Recipe(
        state.base,
        sums,
        before={name: state.fingerprint.tensors[name].sha256 for name in sums},
        after=known_results(manager, state.record.base.key, stack),
        kept=kept,
        memories=open_packages(manager, stacks.memories(stack)),
        links=links,
    )


def find_kept(manager: Manager, state: ModelState, stack: Stack) -> Mapping[str, KeptFile]:
    """Touched files that a generation of this model has already as the stack wants them, every byte of them known."""
    wanted = _sources(state.base, stack)
    kept: dict[str, KeptFile] = {}
    for generation in islice(_candidates(manager, state), LOOKED_AT):
        if len(kept) == len(wanted):
            break
        having = _sources(state.base, stack_of(manager, generation.packages))
        for file, packages in wanted.items():
            if file not in kept and having.get(file) == packages:
                found = _whole_file(manager, state, generation, file)
                if found is not None:
                    kept[file] = found
    return kept


def known_results(manager: Manager, base: BaseKey, stack: Stack) -> Mapping[str, str]:
    """Digests that the touched tensors must have: as the same stack had them before, or as its last package says."""
    before = manager.registry.same_stack(base, stacks.digests(stack))
    if before is not None:
        return before.tensors
    for package in stack:
        if {*package.parent.packages, package.digest} == set(stacks.digests(stack)):
            return {tensor.name: tensor.after_sha256 for tensor in package.tensors}
    return {}


def _candidates(manager: Manager, state: ModelState) -> Iterable[GenerationRecord]:
    """Generations with a folder of their own, the newest first."""
    for generation in reversed(manager.registry.generations(state.record.name)):
        if generation.status == "ready" and generation.packages and generation.folder is not None:
            yield generation


def _sources(base: Checkpoint, stack: Stack) -> _Sources:
    found: dict[str, set[str]] = {}
    for manifest in stack:
        for touched in manifest.tensors:
            found.setdefault(base.entry(touched.name)[0], set()).add(manifest.digest)
    return {file: frozenset(packages) for file, packages in found.items()}


def _whole_file(manager: Manager, state: ModelState, generation: GenerationRecord, file: str) -> KeptFile | None:
    """The file of a generation, if each of its tensors is what the registry says; read only if it is not known."""
    path = Path(generation.folder or "") / file
    if path.is_symlink():
        return None
    try:
        checkpoint = Checkpoint.read(path.parent)
        alone = replace(checkpoint, headers={file: checkpoint.headers[file]})
        found = fingerprint_of(manager, alone, manager.digests)
    except (PatchmgrError, OSError, KeyError):
        return None
    names = [tensor.name for tensor in state.base.headers[file].tensors]
    wanted = state.fingerprint.with_tensors(generation.tensors).tensors
    if found.tensors != {name: wanted[name] for name in names}:
        return None
    return KeptFile(path, {name: generation.tensors[name] for name in names if name in generation.tensors})
