"""R-ROME: ROME with one key throughout, which many edits one after another do not wear down."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_r_rome.parameters import RRomeParameters


class RRome(WeightsMethod):
    name: ClassVar[str] = "r-rome"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Rebuilding ROME: Resolving Model Collapse (arXiv:2403.07175)"
    work: ClassVar[str] = "patchmgr_rome.edit"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = RRomeParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(RRome())
