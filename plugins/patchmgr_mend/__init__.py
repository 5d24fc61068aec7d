"""MEND: networks that learn to make of an edit's gradient a better change; MALMEN's ridge for many edits at once."""

from collections.abc import Callable
from typing import ClassVar

from patchmgr.methods.card import TrainerCard, WeightsMethod
from patchmgr.methods.contract import Method, MethodParameters, Need
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.methods.training import Trainer
from patchmgr_mend.parameters import MendParameters, MendTraining


class Mend(WeightsMethod):
    name: ClassVar[str] = "mend"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Fast Model Editing at Scale (arXiv:2110.11309); the ridge of MALMEN (arXiv:2311.04661)"
    needs: ClassVar[frozenset[Need]] = frozenset({"trained-artefact"})
    work: ClassVar[str] = "patchmgr_mend.edit"
    parameters: ClassVar[type[MethodParameters]] = MendParameters


class MendTrainer(TrainerCard):
    name: ClassVar[str] = "mend"
    version: ClassVar[str] = "1"
    parameters: ClassVar[type[MethodParameters]] = MendTraining
    work: ClassVar[str] = "patchmgr_mend.trainer"


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Mend())


@hookimpl
def patchmgr_register_trainers(register: Callable[[Trainer], None]) -> None:
    register(MendTrainer())
