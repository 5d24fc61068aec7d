"""WISE: a side memory beside an MLP's last matrix answers what makes it stir; the main memory, the weights, stays."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import HiddenMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import AnyRuntime
from patchmgr_wise.parameters import WiseParameters


class Wise(HiddenMethod):
    name: ClassVar[str] = "wise"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "WISE: Rethinking the Knowledge Memory for Lifelong Model Editing (arXiv:2405.14768)"
    parameters: ClassVar[type[MethodParameters]] = WiseParameters
    work: ClassVar[str] = "patchmgr_wise"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Wise())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[AnyRuntime], None]) -> None:
    register(Wise())
