"""The tensors that a stack makes of its base, known before anybody writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.ops import stack as stacks
from patchmgr.ops.sums import collect
from patchmgr.package.reader import EditPackage
from patchmgr_registry import BaseKey

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def resulting_tensors(
    manager: Manager, key: BaseKey, base: Checkpoint, packages: Sequence[EditPackage]
) -> Mapping[str, str]:
    """SHA-256 of every touched tensor of a state: as a generation had it before, or computed now. Nothing is written.

    Args:
        manager: remembers generations and knows encodings; told how far it is.
        key: of the base.
        base: its files, whose digests were checked.
        packages: the stack, in order.

    Raises:
        ConflictError: two packages replace one tensor.
        BaseMismatchError: a package touches what the base does not have.
    """
    before = manager.registry.same_stack(key, stacks.digests(package.manifest for package in packages))
    if before is not None:
        return before.tensors
    from patchmgr.ops.kernel import summed_tensor  # numpy, which is not needed for what is known

    sums = collect(packages, manager.plugins.encodings, base)
    total_bytes, done_bytes, found = sum(base.entry(name)[1].size_bytes for name in sums), 0, {}
    for name, deltas in sums.items():
        entry = base.entry(name)[1]
        found[name] = summed_tensor(base.read_bytes(name), entry.dtype, entry.shape, deltas, name=name)[1]
        done_bytes += entry.size_bytes
        manager.progress(done_bytes, total_bytes, "summing (bytes)")
    return found
