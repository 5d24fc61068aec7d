"""States as files for other programs; each form is a sibling of ``checkpoint`` that keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from patchmgr.exporters.checkpoint import CheckpointExporter
from patchmgr.exporters.contract import Exporter
from patchmgr.exporters.peft.exporter import PeftExporter
from patchmgr.exporters.xor import XorExporter

hookimpl = pluggy.HookimplMarker("patchmgr")


@hookimpl
def patchmgr_register_exporters(register: Callable[[Exporter], None]) -> None:
    """Register the exporters that patchmgr brings."""
    for exporter in (PeftExporter(), CheckpointExporter(), XorExporter()):
        register(exporter)
