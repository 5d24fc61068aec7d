"""UltraEdit: one step of gradient, normalised by all edits so far and spread by ridge regression, no training."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_ultraedit.parameters import UltraEditParameters


class UltraEdit:
    name: ClassVar[str] = "ultraedit"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "UltraEdit: Training-, Subject-, and Memory-Free Lifelong Editing (arXiv:2505.14679)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = UltraEditParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_ultraedit.edit import edit

        return edit(model, requests, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(UltraEdit())
