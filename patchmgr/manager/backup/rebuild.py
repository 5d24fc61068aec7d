"""Building the folders of a restored home: the current generation of each model, and those that models stand on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import IntegrityError, PatchmgrError
from patchmgr.manager.aftermath import point_current
from patchmgr.manager.recipe import find_kept, make_recipe
from patchmgr.manager.states import ModelState, open_base, registered_fingerprint, remember, stack_of
from patchmgr.ops.generation import KeptFileError, write_generation
from patchmgr_registry import GenerationRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Rebuilt:
    """A model after a restore."""

    model: str
    generation: int
    state_root: str
    trouble: str | None = None
    """Why its state could not be built; None: it is there, byte for byte."""


def rebuild(manager: Manager) -> tuple[Rebuilt, ...]:
    """Build what the registry says is there; other old generations are noted as cleared away.

    A model whose base is not here is told of, and `patchmgr rollback` builds it when the base is back.
    """
    registry = manager.registry
    stood_on = {Path(model.base.folder) for model in registry.models()}
    wanted: list[GenerationRecord] = []
    for model in registry.models():
        for generation in registry.generations(model.name):
            if generation.status != "ready" or generation.folder is None:
                continue
            if generation.number == model.generation or Path(generation.folder) in stood_on:
                wanted.append(generation)
            else:
                with registry.begin() as tx:
                    tx.remove_generation(model.name, generation.number)
                    tx.commit()
    trouble = _build_all(manager, wanted)
    found = []
    for model in registry.models():
        current = registry.generation(model.name)
        point_current(manager, model.name, Path(current.folder or model.base.folder))
        reason = trouble.get((model.name, current.number))
        if reason is None and not Path(model.base.folder).is_dir():
            reason = f"its base is not at {model.base.folder}"
        found.append(Rebuilt(model.name, current.number, current.state_root or "", reason))
    return tuple(found)


def _build_all(manager: Manager, wanted: list[GenerationRecord]) -> dict[tuple[str, int], str]:
    """In rounds, for a model may stand on a generation of another; why the rest could not be built."""
    trouble: dict[tuple[str, int], str] = {}
    left = wanted
    while left:
        later = []
        for generation in left:
            try:
                _build(manager, generation)
                trouble.pop((generation.model, generation.number), None)
            except PatchmgrError as error:
                trouble[generation.model, generation.number] = str(error)
                later.append(generation)
        if len(later) == len(left):
            break
        left = later
    return trouble


def _build(manager: Manager, generation: GenerationRecord) -> None:
    """Write the folder of a generation at its place, with the digests that it had.

    Raises:
        NotFoundError: the base is not here.
        IntegrityError: the base is not what it was, or the result is not what the generation was.
    """
    record = manager.registry.model(generation.model)
    known = registered_fingerprint(manager, record.base)
    stack = stack_of(manager, generation.packages)
    base = open_base(manager, record, known)
    state = ModelState(record, replace(generation, folder=None), base, known, ())
    folder = manager.settings.generations(generation.model) / str(generation.number)  # never where the backup says

    def advance(done: int, total: int) -> None:
        manager.progress(done, total, "writing (bytes)")

    try:
        recipe = make_recipe(manager, state, stack, find_kept(manager, state, stack))
        results = write_generation(recipe, folder, advance)
    except KeptFileError:  # this file system has no hard links
        results = write_generation(make_recipe(manager, state, stack, {}), folder, advance)
    remember(manager, Checkpoint.read(folder), known.with_tensors(results))
    if dict(results) != dict(generation.tensors):
        raise IntegrityError(f"generation {generation.number} of {generation.model} came out otherwise than it was")
