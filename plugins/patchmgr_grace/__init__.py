"""GRACE: a layer's output is exchanged where a prompt falls into the ball around a remembered one; weights stay."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import HiddenMethod
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import AnyRuntime
from patchmgr_grace.parameters import GraceParameters


class Grace(HiddenMethod):
    name: ClassVar[str] = "grace"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = (
        "Aging with GRACE: Lifelong Model Editing with Discrete Key-Value Adaptors (arXiv:2211.11031)"
    )
    parameters: ClassVar[type[MethodParameters]] = GraceParameters
    work: ClassVar[str] = "patchmgr_grace"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Grace())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[AnyRuntime], None]) -> None:
    register(Grace())
