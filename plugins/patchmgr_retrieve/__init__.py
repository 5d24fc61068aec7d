"""Retrieve and prepend: the nearest edit is set before the question, when it is near enough; weights stay."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import MemoryMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import MemoryRuntime
from patchmgr_retrieve.parameters import RetrieveParameters


class Retrieve(MemoryMethod):
    name: ClassVar[str] = "retrieve-and-prepend"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "the baseline of Memory-Based Model Editing at Scale (arXiv:2206.06520)"
    parameters: ClassVar[type[MethodParameters]] = RetrieveParameters
    work: ClassVar[str] = "patchmgr_retrieve"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Retrieve())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[MemoryRuntime], None]) -> None:
    register(Retrieve())
