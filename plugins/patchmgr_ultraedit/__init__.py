"""UltraEdit: one step of gradient, normalised by all edits so far and spread by ridge regression, no training."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_ultraedit.parameters import UltraEditParameters


class UltraEdit(WeightsMethod):
    name: ClassVar[str] = "ultraedit"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "UltraEdit: Training-, Subject-, and Memory-Free Lifelong Editing (arXiv:2505.14679)"
    work: ClassVar[str] = "patchmgr_ultraedit.edit"
    parameters: ClassVar[type[MethodParameters]] = UltraEditParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(UltraEdit())
