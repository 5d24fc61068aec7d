"""IKE: the nearest edit is set before the question as a new fact, behind demonstrations of how to take one."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import Memory, MemoryRuntime
from patchmgr.package.memory.bundle import Level, MemoryBundle
from patchmgr.request import EditRequest
from patchmgr_ike.parameters import IkeParameters


class Ike:
    name: ClassVar[str] = "ike"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Can We Edit Factual Knowledge by In-Context Learning? (arXiv:2305.12740)"
    kind: ClassVar[Literal["weights", "memory"]] = "memory"
    level: ClassVar[Level] = "text"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = IkeParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_ike.edit import edit

        return edit(self.name, self.version, requests, parameters, context)

    def open(self, bundle: MemoryBundle, device: str) -> Memory:
        from patchmgr_ike.memory import open_ike

        return open_ike(bundle, device)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Ike())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[MemoryRuntime], None]) -> None:
    register(Ike())
