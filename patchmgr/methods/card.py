"""A visiting card whose work lies elsewhere: listing methods imports no torch, and running one imports only its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Need, Payload
from patchmgr.methods.runtime import Memory
from patchmgr.methods.training import TrainedDraft, TrainingContext, TrainingData
from patchmgr.package.memory.bundle import Level, MemoryBundle
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


class _Memory:
    """What the cards of all memories say."""

    kind: ClassVar[Literal["weights", "memory"]] = "memory"
    needs: ClassVar[frozenset[Need]] = frozenset()
    name: ClassVar[str]
    version: ClassVar[str]


class MemoryMethod(_Memory):
    """A memory of texts with its runtime; a subclass adds ``name``, ``version``, ``paper`` and ``parameters``."""

    level: ClassVar[Level] = "text"
    work: ClassVar[str]
    """The package of the plugin: its ``edit.edit`` makes a bundle, its ``memory.open_bundle`` opens one."""

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        """The next version of a memory; errors as those of the module that makes it."""
        making = import_module(f"{self.work}.edit")
        payload: Payload = making.edit(self.name, self.version, requests, parameters, context)
        return payload

    def open(self, bundle: MemoryBundle, device: str) -> Memory:
        """A bundle at work; errors as those of the module that opens it."""
        memory: Memory = import_module(f"{self.work}.memory").open_bundle(bundle, device)
        return memory


class HiddenMethod(_Memory):
    """A memory inside the model, with its runtime; a subclass adds ``name``, ``version``, ``paper``, ``parameters``."""

    level: ClassVar[Level] = "hidden"
    work: ClassVar[str]
    """The package of the plugin: its ``edit.edit`` makes a bundle, its ``memory.open_inside`` opens one."""

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        """The next version of a memory; errors as those of the module that makes it."""
        making = import_module(f"{self.work}.edit")
        payload: Payload = making.edit(model, requests, parameters, context)
        return payload

    def open_inside(self, bundle: MemoryBundle, loaded: LoadedModel) -> Memory:
        """A bundle at work; errors as those of the module that opens it."""
        memory: Memory = import_module(f"{self.work}.memory").open_inside(bundle, loaded)
        return memory


class TrainerCard:
    """A trainer; a subclass adds ``name``, ``version`` and ``parameters``."""

    work: ClassVar[str]
    """The module whose ``train`` does it."""

    def train(self, model: LoadedModel, data: TrainingData, parameters: Any, context: TrainingContext) -> TrainedDraft:
        """Train an editor; errors as those of the module that does it."""
        draft: TrainedDraft = import_module(self.work).train(model, data, parameters, context)
        return draft
