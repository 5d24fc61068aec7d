"""AlphaEdit: many facts at once, along directions that usual keys lack, beside the edits before."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_alphaedit.parameters import AlphaEditParameters


class AlphaEdit:
    name: ClassVar[str] = "alphaedit"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "AlphaEdit: Null-Space Constrained Knowledge Editing (arXiv:2410.02355)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = AlphaEditParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_alphaedit.edit import edit

        return edit(model, requests, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(AlphaEdit())
