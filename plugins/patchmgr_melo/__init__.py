"""MELO: a small LoRA block for each cluster of edits, switched on where a prompt's key lies in the cluster."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import HiddenMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import AnyRuntime
from patchmgr_melo.parameters import MeloParameters


class Melo(HiddenMethod):
    name: ClassVar[str] = "melo"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "MELO: Enhancing Model Editing with Neuron-Indexed Dynamic LoRA (arXiv:2312.11795)"
    parameters: ClassVar[type[MethodParameters]] = MeloParameters
    work: ClassVar[str] = "patchmgr_melo"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Melo())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[AnyRuntime], None]) -> None:
    register(Melo())
