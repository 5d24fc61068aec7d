"""ROME: one fact, one rank-one change of one MLP weight."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr_rome.parameters import RomeParameters


class Rome(WeightsMethod):
    name: ClassVar[str] = "rome"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Locating and Editing Factual Associations in GPT (arXiv:2202.05262)"
    work: ClassVar[str] = "patchmgr_rome.edit"
    needs: ClassVar[frozenset[Need]] = frozenset({"subject", "statistics"})
    parameters: ClassVar[type[MethodParameters]] = RomeParameters


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Rome())
