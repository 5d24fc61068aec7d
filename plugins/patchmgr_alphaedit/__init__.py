"""AlphaEdit: many facts at once, along directions that usual keys lack, beside the edits before."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_alphaedit.parameters import AlphaEditParameters


class AlphaEdit(WeightsMethod):
    name: ClassVar[str] = "alphaedit"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "AlphaEdit: Null-Space Constrained Knowledge Editing (arXiv:2410.02355)"
    work: ClassVar[str] = "patchmgr_alphaedit.edit"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = AlphaEditParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(AlphaEdit())
