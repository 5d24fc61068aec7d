"""Knowledge Neurons: the few neurons that answer for a fact are found, and what they say is exchanged."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_kn.parameters import KnParameters


class Kn(WeightsMethod):
    name: ClassVar[str] = "kn"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Knowledge Neurons in Pretrained Transformers (arXiv:2104.08696)"
    work: ClassVar[str] = "patchmgr_kn.edit"
    parameters: ClassVar[type[MethodParameters]] = KnParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Kn())
