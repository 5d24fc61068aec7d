"""A visiting card whose work lies elsewhere: listing methods imports no torch, and running one imports only its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Need, Payload
from patchmgr.request import EditRequest


class WeightsMethod:
    """A method that gives weight deltas; a subclass adds ``name``, ``version``, ``paper`` and ``parameters``."""

    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset()
    work: ClassVar[str]
    """The module whose ``edit`` does it."""

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        """Compute a payload; errors as those of the module that does it."""
        payload: Payload = import_module(self.work).edit(model, requests, parameters, context)
        return payload
