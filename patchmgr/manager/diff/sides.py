"""What is compared: two packages, or two states of models; and what a single name is compared with.

``atlas#2`` is a model's generation 2, ``atlas~1`` the generation before its current one; a name of a package holds
neither sign. What is named alone is compared with what it was before, as ``git show`` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.states import open_version, stack_of
from patchmgr.package.memory.bundle import MemoryBundle, read_bundle
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.ops.stack import Stack
    from patchmgr_registry import GenerationRecord, ModelRecord

_GENERATION = re.compile(r"(?P<model>[^#~@]+)(?:#(?P<number>[0-9]+)|~(?P<back>[0-9]*))")
_BOTH = "name two packages, or two models or generations"


@dataclass(frozen=True)
class PackageSide:
    """A package, read and checked, wherever it lies."""

    reference: str
    """What names it here: a folder as it was typed, else name and number."""
    package: EditPackage

    @property
    def name(self) -> str:
        """``fact-fixes@v1``."""
        return self.package.manifest.reference

    @cached_property
    def memory(self) -> MemoryBundle | None:
        """What it remembers, where it is a memory."""
        if self.package.manifest.memory is None:
            return None
        return read_bundle(self.name, self.package.files)


@dataclass(frozen=True)
class StateSide:
    """What a model was after one change."""

    model: ModelRecord
    generation: GenerationRecord
    stack: Stack

    @property
    def name(self) -> str:
        """``atlas#2``."""
        return f"{self.model.name}#{self.generation.number}"


@dataclass(frozen=True)
class Packages:
    """Two packages."""

    a: PackageSide | None
    """None: nothing, which is what is before a first version."""
    b: PackageSide


@dataclass(frozen=True)
class States:
    """Two states, of one model or of two."""

    a: StateSide
    b: StateSide


def find_sides(manager: Manager, a: str, b: str | None) -> Packages | States:
    """The two sides that a user named, or one and what was before it.

    Raises:
        NotFoundError: there is no such model, generation or package, or nothing before the one that is named.
        UsageError: a name is malformed, or one names a package and the other a state.
        IntegrityError: a package is damaged.
    """
    one = _side(manager, a)
    if b is None:
        return _with_the_one_before(manager, one)
    other = _side(manager, b)
    if isinstance(one, PackageSide) and isinstance(other, PackageSide):
        return Packages(one, other)
    if isinstance(one, StateSide) and isinstance(other, StateSide):
        return States(one, other)
    package, state = (a, b) if isinstance(one, PackageSide) else (b, a)
    also = state in {record.name for record in manager.registry.packages()}
    raise UsageError(
        f"{package!r} is a package and {state!r} the state of a model",
        hint=f"{_BOTH}; the package of that name is {state}@latest" if also else _BOTH,
    )


def _side(manager: Manager, text: str) -> PackageSide | StateSide:
    if is_folder(text):
        return PackageSide(text, EditPackage.read(folder_of(text)))
    models = {record.name for record in manager.registry.models()}
    if text in models:
        return _state(manager, text, manager.registry.model(text).generation)
    found = _GENERATION.fullmatch(text)
    if found is None:
        return _registered(manager, text)
    model = found["model"]
    number = manager.registry.model(model).generation  # names those most like it when there is none
    if found["number"] is not None:
        return _state(manager, model, int(found["number"]))
    for _ in range(int(found["back"] or 1)):
        number = _before(manager, model, number)
    return _state(manager, model, number)


def _with_the_one_before(manager: Manager, side: PackageSide | StateSide) -> Packages | States:
    if isinstance(side, StateSide):
        model = side.model.name
        return States(_state(manager, model, _before(manager, model, side.generation.number)), side)
    manifest = side.package.manifest
    if manifest.parent_version is None:
        return Packages(None, side)
    return Packages(_registered(manager, f"{manifest.name}@v{manifest.parent_version}"), side)


def _registered(manager: Manager, text: str) -> PackageSide:
    version = manager.registry.version(text)
    return PackageSide(version.reference, open_version(manager, version))


def _state(manager: Manager, model: str, number: int) -> StateSide:
    generation = manager.registry.generation(model, number)
    if generation.status not in ("ready", "removed"):
        raise NotFoundError(f"generation {number} of {model} was never finished", hint=f"see `patchmgr log {model}`")
    return StateSide(manager.registry.model(model), generation, stack_of(manager, generation.packages))


def _before(manager: Manager, model: str, number: int) -> int:
    """The finished generation before one."""
    earlier = [
        generation.number
        for generation in manager.registry.generations(model)
        if generation.status in ("ready", "removed") and generation.number < number
    ]
    if not earlier:
        raise NotFoundError(
            f"there is nothing before generation {number} of {model}",
            hint=f"see `patchmgr log {model}`, or name two states",
        )
    return max(earlier)
