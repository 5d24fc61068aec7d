"""EMMET: many facts at once in one layer, each held to exactly; for one fact it is ROME."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_emmet.parameters import EmmetParameters


class Emmet(WeightsMethod):
    name: ClassVar[str] = "emmet"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "A Unified Framework for Model Editing (arXiv:2403.14236)"
    work: ClassVar[str] = "patchmgr_emmet.edit"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = EmmetParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Emmet())
