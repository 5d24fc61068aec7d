"""Patching a live model for a while: exact results in place of the weights, and back bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from patchmgr.errors import UsageError
from patchmgr.live.patches import Patches, in_force_already
from patchmgr.methods.loader import load_plugins
from patchmgr.package.encodings.contract import Delta
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import EditPackage


@dataclass(frozen=True)
class HotState:
    """What is in force on a live model when a block begins."""

    packages: tuple[Manifest, ...]
    """Every package in force, those of blocks around this one first."""
    digests: Mapping[str, str]
    """SHA-256 of each tensor that they touch, as it would be stored; by its name in the checkpoint."""

    @property
    def references(self) -> tuple[str, ...]:
        """The packages as ``name@v3``."""
        return tuple(manifest.reference for manifest in self.packages)


@contextlib.contextmanager
def hot_apply(model: nn.Module, *packages: EditPackage | Path | str) -> Iterator[HotState]:
    """Give a live model the weights that packages make of it, inside the block only.

    Blocks nest: the weights are always the exact sum of the pristine ones and of every package in force, rounded once,
    whatever the order, the same bytes as ``patchmgr apply`` writes. Blocks may be left in any order. Parameters keep
    their identity, dtype, device and ``requires_grad``; a copy of the touched ones is kept beside them, and no other.

    Args:
        model: a transformers model on any device, at the base, or at another state that the packages were computed on;
            it may hold the stored numbers in a wider dtype, which it then keeps.
        packages: one or more that were read, or their folders.

    Raises:
        BaseMismatchError: the model's weights are not those that a package was computed on, or are offloaded or
            quantised; names the tensor.
        ConflictError: a package was computed on others that are not in force, is in force already, or replaces a tensor
            that another replaces.
        IntegrityError: a package is damaged, or does not give what it says.
        MethodError: the model has no such parameter, or a sum is not finite.
        UsageError: a package is a memory; says what to do with it.
    """
    encodings = load_plugins().encodings
    coming: dict[str, tuple[Manifest, Mapping[str, Delta]]] = {}
    for given in packages:
        package = given if isinstance(given, EditPackage) else EditPackage.read(Path(given))
        manifest = package.manifest
        if manifest.kind != "weights":
            raise UsageError(
                f"{manifest.reference} is a memory: it changes no weights, and is asked before a model",
                hint="`patchmgr apply -o DIR` with it, and patchmgr.load(DIR) gives the model that asks it",
            )
        if manifest.digest in coming:
            raise in_force_already(manifest)
        coming[manifest.digest] = manifest, package.deltas(encodings)
    patches = Patches.of(model)
    patches.enter(model, coming)
    try:
        yield HotState(patches.manifests, patches.digests)
    finally:
        patches.leave(model, coming)
