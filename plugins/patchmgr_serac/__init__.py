"""SERAC: a memory of edits, a scope classifier that says which questions it answers, and a model that answers them."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import MemoryMethod, TrainerCard
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.runtime import MemoryRuntime
from patchmgr.methods.training import Trainer
from patchmgr_serac.parameters import SeracParameters, SeracTraining


class Serac(MemoryMethod):
    name: ClassVar[str] = "serac"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Memory-Based Model Editing at Scale (arXiv:2206.06520)"
    needs: ClassVar[frozenset[Need]] = frozenset({"trained-artefact"})
    parameters: ClassVar[type[MethodParameters]] = SeracParameters
    work: ClassVar[str] = "patchmgr_serac"


class SeracTrainer(TrainerCard):
    name: ClassVar[str] = "serac"
    version: ClassVar[str] = "1"
    parameters: ClassVar[type[MethodParameters]] = SeracTraining
    work: ClassVar[str] = "patchmgr_serac.trainer"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Serac())


@hookimpl
def patchmgr_register_runtimes(register: Callable[[MemoryRuntime], None]) -> None:
    register(Serac())


@hookimpl
def patchmgr_register_trainers(register: Callable[[Trainer], None]) -> None:
    register(SeracTrainer())
