"""How a weight delta is stored; each kind is a sibling of ``lowrank`` that keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from patchmgr.package.encodings.contract import Encoding
from patchmgr.package.encodings.lowrank import LowRank

hookimpl = pluggy.HookimplMarker("patchmgr")


@hookimpl
def patchmgr_register_encodings(register: Callable[[Encoding], None]) -> None:
    """Register the encodings that patchmgr brings."""
    register(LowRank())
