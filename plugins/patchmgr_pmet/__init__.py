"""PMET: many facts at once, by values of attention and MLP that are looked for together."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_pmet.parameters import PmetParameters


class Pmet:
    name: ClassVar[str] = "pmet"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "PMET: Precise Model Editing in a Transformer (arXiv:2308.08742)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = PmetParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_pmet.edit import edit

        return edit(model, requests, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Pmet())
