"""LoRA and AdaLoRA: adapters of low rank trained on the edits by the library peft, and kept as a change of weights."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_lora.parameters import AdaLoraParameters, LoraParameters


class Lora:
    name: ClassVar[str] = "lora"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "LoRA: Low-Rank Adaptation of Large Language Models (arXiv:2106.09685)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = LoraParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_lora.edit import edit

        return edit(model, requests, parameters, context)


class AdaLora(Lora):
    name: ClassVar[str] = "adalora"
    paper: ClassVar[str] = "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning (arXiv:2303.10512)"
    parameters: ClassVar[type[MethodParameters]] = AdaLoraParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Lora())
    register(AdaLora())
