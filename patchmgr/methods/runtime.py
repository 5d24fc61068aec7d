"""What a memory runtime is: it opens a bundle and says of each prompt whether the memory answers, and how.

A memory is asked once for each prompt. What it claims goes on as another text, to the model that the memory names or to
the one below; what no memory claims goes to the model below untouched. The switch is hard and works on texts, so the
answering model may have another tokenizer. Where several memories of a stack claim a prompt, the latest one answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

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
    """A way of answering with a bundle. Class attributes are its visiting card."""

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
