"""The next version of a memory that sets the nearest entry before a question."""

from __future__ import annotations

from collections.abc import Sequence

from patchmgr.methods.contract import EditContext, Payload
from patchmgr.request import EditRequest
from patchmgr_memory.texts import remember
from patchmgr_retrieve.parameters import RetrieveParameters


def edit(
    runtime: str, version: str, requests: Sequence[EditRequest], parameters: RetrieveParameters, context: EditContext
) -> Payload:
    """Remember some requests beside what the version before does; errors as those of :func:`remember`."""
    return remember(runtime, version, requests, parameters, context, {"template": parameters.template})
