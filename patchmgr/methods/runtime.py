"""What a memory runtime is: it opens a bundle and says of each prompt whether the memory answers, and how.

A memory is asked once for each prompt. What it claims goes on as another text, to the model that the memory names or to
the one below; what no memory claims goes to the model below untouched. The switch is hard and works on texts, so the
answering model may have another tokenizer. Where several memories of a stack claim a prompt, the latest one answers.

A memory of *texts* needs nothing but its bundle. A *hidden* one looks at what goes on inside the model that it was made
for, so it is opened on that model; who answers what it claims is a twin of the model, on the same weights, in which a
layer says something else. The model itself is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from patchmgr.errors import FormatError

if TYPE_CHECKING:
    from patchmgr.methods.contract import LoadedModel
    from patchmgr.package.memory.bundle import Level, MemoryBundle


@dataclass(frozen=True)
class Route:
    """A prompt that a memory claims."""

    prompt: str
    """What is asked instead."""
    entries: tuple[str, ...]
    """Ids of the entries that it rests on, the nearest first."""
    score: float
    """How sure the memory is, in its own units."""
    package: str = ""
    """Reference of the memory package; filled in by the router."""
    model: LoadedModel | None = None
    """Who answers; None: the model below."""


@runtime_checkable
class Memory(Protocol):
    """A bundle at work."""

    def route(self, prompts: Sequence[str]) -> Sequence[Route | None]:
        """Where each prompt goes; None: the memory does not claim it."""
        ...


@runtime_checkable
class MemoryRuntime(Protocol):
    """A way of answering with a bundle of texts. Class attributes are its visiting card."""

    name: ClassVar[str]
    version: ClassVar[str]
    level: ClassVar[Level]

    def open(self, bundle: MemoryBundle, device: str) -> Memory:
        """The bundle at work, its files loaded to the device.

        Raises:
            FormatError: the bundle lacks what this runtime needs.
            MethodError: something that it names is not here; says how to get it.
        """
        ...


@runtime_checkable
class HiddenRuntime(Protocol):
    """A way of answering with a bundle that belongs inside a model. Class attributes are its visiting card."""

    name: ClassVar[str]
    version: ClassVar[str]
    level: ClassVar[Level]

    def open_inside(self, bundle: MemoryBundle, loaded: LoadedModel) -> Memory:
        """The bundle at work on a model, whose weights are found to be those that it was made on.

        The model is left as it is: no hook, no tensor of it is touched.

        Raises:
            FormatError: the bundle lacks what this runtime needs, or does not fit the model.
            MethodError: the model has not the layer.
        """
        ...


AnyRuntime = MemoryRuntime | HiddenRuntime


def opened(runtime: AnyRuntime, bundle: MemoryBundle, loaded: LoadedModel) -> Memory:
    """A bundle at work for a model; errors as those of the runtime.

    Raises:
        FormatError: the bundle says that it is of another level than its runtime.
    """
    if bundle.config.level != runtime.level:
        raise FormatError(
            f"{bundle.reference} is a memory of level {bundle.config.level}, and {runtime.name} of {runtime.level}",
            hint="do not use it",
        )
    if isinstance(runtime, HiddenRuntime):
        return runtime.open_inside(bundle, loaded)
    return runtime.open(bundle, loaded.model.device.type)


@dataclass(frozen=True)
class Router:
    """The memories of a stack."""

    memories: tuple[tuple[str, Memory], ...]
    """Reference and memory, in the order of the stack."""

    def route(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes, by the latest memory that claims it."""
        routes: list[Route | None] = [None] * len(prompts)
        for reference, memory in reversed(self.memories):
            free = [index for index, route in enumerate(routes) if route is None]
            if not free:
                break
            found = memory.route([prompts[index] for index in free])
            for index, route in zip(free, found, strict=True):
                if route is not None:
                    routes[index] = Route(route.prompt, route.entries, route.score, reference, route.model)
        return routes
