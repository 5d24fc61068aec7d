"""ROME: one fact, one rank-one change of one MLP weight."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_rome.parameters import RomeParameters


class Rome:
    name: ClassVar[str] = "rome"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Locating and Editing Factual Associations in GPT (arXiv:2202.05262)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = RomeParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_rome.edit import edit

        return edit(model, requests, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Rome())
