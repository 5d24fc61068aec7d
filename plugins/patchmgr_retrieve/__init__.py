"""Retrieve and prepend: the nearest edit is set before the question, when it is near enough; weights stay."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import Memory, MemoryRuntime
from patchmgr.package.memory.bundle import Level, MemoryBundle
from patchmgr.request import EditRequest
from patchmgr_retrieve.parameters import RetrieveParameters


class Retrieve:
    name: ClassVar[str] = "retrieve-and-prepend"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "the baseline of Memory-Based Model Editing at Scale (arXiv:2206.06520)"
    kind: ClassVar[Literal["weights", "memory"]] = "memory"
    level: ClassVar[Level] = "text"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = RetrieveParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_memory.texts import remember

        return remember(self.name, self.version, requests, parameters, context, {"template": parameters.template})

    def open(self, bundle: MemoryBundle, device: str) -> Memory:
        from patchmgr_memory.texts import open_memory
        from patchmgr_retrieve.write import written

        return open_memory(bundle, device, n_hits=1, write=written(bundle))


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Retrieve())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[MemoryRuntime], None]) -> None:
    register(Retrieve())
