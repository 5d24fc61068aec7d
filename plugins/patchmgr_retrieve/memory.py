"""A memory at work that sets the nearest entry before a question."""

from __future__ import annotations

from patchmgr.methods.runtime import Memory
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_memory.texts import open_memory
from patchmgr_retrieve.write import written


def open_bundle(bundle: MemoryBundle, device: str) -> Memory:
    """A bundle; errors as those of :func:`open_memory`, and a FormatError where it has no template."""
    return open_memory(bundle, device, n_hits=1, write=written(bundle))
