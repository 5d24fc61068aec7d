"""PMET: many facts at once, by values of attention and MLP that are looked for together."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_pmet.parameters import PmetParameters


class Pmet(WeightsMethod):
    name: ClassVar[str] = "pmet"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "PMET: Precise Model Editing in a Transformer (arXiv:2308.08742)"
    work: ClassVar[str] = "patchmgr_pmet.edit"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = PmetParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Pmet())
