"""SERAC: a memory of edits, a scope classifier that says which questions it answers, and a model that answers them."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import Memory, MemoryRuntime
from patchmgr.methods.training import TrainedDraft, Trainer, TrainingContext, TrainingData
from patchmgr.package.memory.bundle import Level, MemoryBundle
from patchmgr.request import EditRequest
from patchmgr_serac.parameters import SeracParameters, SeracTraining


class Serac:
    name: ClassVar[str] = "serac"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Memory-Based Model Editing at Scale (arXiv:2206.06520)"
    kind: ClassVar[Literal["weights", "memory"]] = "memory"
    level: ClassVar[Level] = "text"
    needs: ClassVar[frozenset[Need]] = frozenset({"trained-artefact"})
    parameters: ClassVar[type[MethodParameters]] = SeracParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_serac.edit import edit

        return edit(self.name, self.version, requests, parameters, context)

    def open(self, bundle: MemoryBundle, device: str) -> Memory:
        from patchmgr_serac.memory import open_serac

        return open_serac(bundle, device)


class SeracTrainer:
    name: ClassVar[str] = "serac"
    version: ClassVar[str] = "1"
    parameters: ClassVar[type[MethodParameters]] = SeracTraining

    def train(self, model: LoadedModel, data: TrainingData, parameters: Any, context: TrainingContext) -> TrainedDraft:
        from patchmgr_serac.trainer import train

        return train(model, data, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Serac())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[MemoryRuntime], None]) -> None:
    register(Serac())


@hookimpl
def patchmgr_register_trainers(register: Callable[[Trainer], None]) -> None:
    register(SeracTrainer())
