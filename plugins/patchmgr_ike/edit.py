"""IKE's bundle: the entries, and what each can demonstrate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from patchmgr.methods.contract import EditContext, Payload
from patchmgr.request import EditRequest
from patchmgr_ike.demonstrations import FILE, dump_probes, parse_probes, probes_of
from patchmgr_ike.parameters import IkeParameters
from patchmgr_memory.texts import remember


def edit(
    runtime: str, version: str, requests: Sequence[EditRequest], parameters: IkeParameters, context: EditContext
) -> Payload:
    """The next version of an IKE memory.

    Raises:
        MethodError: the encoder is not here, or is another than that of the version before.
        UsageError: an entry to forget is not there.
        FormatError: the version before cannot be read.
    """
    settings = {"demonstrations": parameters.demonstrations}
    payload = remember(runtime, version, requests, parameters, context, settings)
    memory, before = payload.memory, context.memory
    assert memory is not None
    known = parse_probes(before.files[FILE].read_bytes(), where=before.reference) if before else {}
    probes = {**known, **probes_of(requests, memory.entries)}
    kept = {entry.id: probes[entry.id] for entry in memory.entries}
    return replace(payload, memory=replace(memory, texts={FILE: dump_probes(kept)}))
