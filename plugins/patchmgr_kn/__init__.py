"""Knowledge Neurons: the few neurons that answer for a fact are found, and what they say is exchanged."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest
from patchmgr_kn.parameters import KnParameters


class Kn:
    name: ClassVar[str] = "kn"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "Knowledge Neurons in Pretrained Transformers (arXiv:2104.08696)"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = KnParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_kn.edit import edit

        return edit(model, requests, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Kn())
