"""LoRA and AdaLoRA: adapters of low rank trained on the edits by the library peft, and kept as a change of weights."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_lora.parameters import AdaLoraParameters, LoraParameters


class Lora(WeightsMethod):
    name: ClassVar[str] = "lora"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "LoRA: Low-Rank Adaptation of Large Language Models (arXiv:2106.09685)"
    work: ClassVar[str] = "patchmgr_lora.edit"
    parameters: ClassVar[type[MethodParameters]] = LoraParameters


class AdaLora(Lora):
    name: ClassVar[str] = "adalora"
    paper: ClassVar[str] = "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning (arXiv:2303.10512)"
    parameters: ClassVar[type[MethodParameters]] = AdaLoraParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Lora())
    register(AdaLora())
