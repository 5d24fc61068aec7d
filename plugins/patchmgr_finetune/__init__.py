"""FT-L and FT-M: an MLP's down-projection trained on the edits, the baselines of knowledge editing."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_finetune.parameters import FineTuneParameters


class FtM:
    name: ClassVar[str] = "ft-m"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "A Comprehensive Study of Knowledge Editing for Large Language Models (arXiv:2401.01286)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = FineTuneParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_finetune.edit import edit

        return edit(model, requests, parameters, context, last_place=self.name == "ft-l")


class FtL(FtM):
    name: ClassVar[str] = "ft-l"
    paper: ClassVar[str] = "Locating and Editing Factual Associations in GPT (arXiv:2202.05262), its baseline FT+L"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(FtL())
    register(FtM())
