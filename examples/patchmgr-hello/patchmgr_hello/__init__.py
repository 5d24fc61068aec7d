"""Hello: the smallest honest editing method, and an example of a plugin."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.hookspecs import hookimpl
from patchmgr.request import EditRequest

from patchmgr_hello.parameters import HelloParameters


class Hello:
    name: ClassVar[str] = "hello"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "ROME (arXiv:2202.05262) with C = I, written at the prompt's last token"
    kind: ClassVar[Literal["weights", "memory"]] = "weights"
    needs: ClassVar[frozenset[Need]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = HelloParameters

    def edit(
        self, model: LoadedModel, requests: Sequence[EditRequest], parameters: Any, context: EditContext
    ) -> Payload:
        from patchmgr_hello.edit import edit  # torch comes in here, not when plugins are listed

        return edit(model, requests, parameters, context)


@hookimpl
def patchmgr_register_methods(register: Callable[[Method], None]) -> None:
    register(Hello())
