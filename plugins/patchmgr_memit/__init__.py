"""MEMIT: many facts at once, one change of several MLP weights."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_memit.parameters import MemitParameters


class Memit(WeightsMethod):
    name: ClassVar[str] = "memit"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Mass-Editing Memory in a Transformer (arXiv:2210.07229)"
    work: ClassVar[str] = "patchmgr_memit.edit"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = MemitParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Memit())
