"""IKE: the nearest edit is set before the question as a new fact, behind demonstrations of how to take one."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import MemoryMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import MemoryRuntime
from patchmgr_ike.parameters import IkeParameters


class Ike(MemoryMethod):
    name: ClassVar[str] = "ike"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Can We Edit Factual Knowledge by In-Context Learning? (arXiv:2305.12740)"
    parameters: ClassVar[type[MethodParameters]] = IkeParameters
    work: ClassVar[str] = "patchmgr_ike"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Ike())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[MemoryRuntime], None]) -> None:
    register(Ike())
