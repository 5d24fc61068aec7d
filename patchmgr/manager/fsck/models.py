"""Models: bases that stayed as they were, generations that are what the registry says, links that follow it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint, fingerprint
from patchmgr.errors import NotFoundError, PatchmgrError
from patchmgr.manager.aftermath import point_current
from patchmgr.manager.fsck.contract import Inspection, Kind, Problem, rows, twice
from patchmgr.manager.states import compare, stack_of
from patchmgr.ops.stack import Stack, root_of
from patchmgr_registry import BaseKey, BaseRecord, GenerationRecord, ModelRecord

_BEHIND_S = 0.2
"""A process that has just committed a generation points the link to it within this."""
_TRIES = 5


def check_bases(inspection: Inspection) -> Iterator[Problem]:
    """The base of every model is where it was and as it was."""
    for key, size_bytes in {record.base.key: record.base.size_bytes for record in inspection.models()}.items():
        inspection.n_checked["base"] += 1
        yield from twice(_look_at_base, inspection, key)
        inspection.meter.finish(size_bytes)


def check_generations(inspection: Inspection) -> Iterator[Problem]:
    """Every finished generation's folder holds what base and results say, and its state root is that of these."""
    for record in inspection.models():
        try:
            generations = rows(inspection.manager.registry.generations, record.name)
        except NotFoundError:  # removed meanwhile
            continue
        for generation in generations:
            if generation.status != "ready":
                continue
            inspection.n_checked["generation"] += 1
            yield from twice(_look_at_generation, inspection, record.name, generation.number)
            inspection.meter.finish(record.base.size_bytes)
        yield from twice(_look_at_number, inspection, record.name)


def check_links(inspection: Inspection) -> Iterator[Problem]:
    """The link ``current`` of every model; one that points elsewhere is mended, for it only repeats the registry."""
    for record in inspection.models():
        inspection.n_checked["link"] += 1
        try:
            yield from _mend(inspection, record.name)
        except OSError as error:
            message = f"the link current of {record.name} cannot be read: {error.strerror}"
            yield Problem("link", record.name, message, "mend the permissions, or check the disk")


def _look_at_base(inspection: Inspection, key: BaseKey) -> Iterator[Problem]:
    records = [record for record in inspection.models() if record.base.key == key]
    if not records:
        return
    base, names = records[0].base, ", ".join(record.name for record in records)
    known = inspection.known(base)
    if known.weights_root != base.fingerprint:
        yield Problem(
            "base",
            names,
            f"the tensors of the base of {names} do not give its fingerprint {base.fingerprint[:12]}… in the registry",
            "restore a backup of the registry",
        )
    else:
        hint = f"bring it back as it was, or `patchmgr model add OTHER {base.source}`: the same bytes are found again"
        yield from _look_at_folder(inspection, "base", names, f"the base of {names}", Path(base.folder), known, hint)


def _look_at_generation(inspection: Inspection, model: str, number: int) -> Iterator[Problem]:
    name, what = f"{model}/{number}", f"generation {number} of {model}"
    found = _row(inspection, model, number)
    if found is None or found[1].status != "ready":  # removed or cleared away meanwhile
        return
    record, generation = found
    known = inspection.known(record.base)
    strange = sorted(generation.tensors.keys() - known.tensors.keys())
    if strange:
        yield Problem("generation", name, f"{what} has {strange[0]!r}, which its base has not", "restore a backup")
        return
    wanted = known.with_tensors(generation.tensors)
    root = root_of(wanted, _stack(inspection, generation))
    if root != generation.state_root:
        yield Problem(
            "generation",
            name,
            f"{what} has the state root {(generation.state_root or '')[:12]}…, its tensors give {root[:12]}…",
            "the registry was changed; restore a backup of it",
        )
    folder = _folder(record.base, generation)
    if folder == Path(record.base.folder):
        return
    hint = f"`patchmgr rollback {model} {number}` makes it again from the base"
    yield from _look_at_folder(inspection, "generation", name, what, folder, wanted, hint)


def _look_at_number(inspection: Inspection, model: str) -> Iterator[Problem]:
    try:
        number = inspection.manager.registry.model(model).generation
    except NotFoundError:  # removed meanwhile
        return
    found = _row(inspection, model)
    if found is None or found[1].status != "ready":
        status = found[1].status if found else "missing"
        message = f"the current generation {number} of {model} is {status}"
        yield Problem("generation", f"{model}/{number}", message, "restore a backup of the registry, or roll back")


def _look_at_folder(
    inspection: Inspection, kind: Kind, name: str, what: str, folder: Path, wanted: Fingerprint, hint: str
) -> Iterator[Problem]:
    try:
        if not folder.is_dir():
            yield Problem(kind, name, f"{what} is no longer at {folder}", hint)
            return
        checkpoint = Checkpoint.read(folder)
        found = fingerprint(checkpoint, inspection.cache, progress=lambda done, _: inspection.meter.at(done))
        compare(what, wanted, found)
    except PatchmgrError as error:
        message = error.message if error.message.startswith(what) else f"{what}: {error.message}"
        yield Problem(kind, name, message, hint)
    except OSError as error:
        yield Problem(kind, name, f"{what} cannot be read: {error.strerror} ({error.filename or folder})", hint)


def _mend(inspection: Inspection, model: str) -> Iterator[Problem]:
    """Points the link until the registry is still of the same mind afterwards: a change may come in between."""
    manager = inspection.manager
    link, was = manager.settings.generations(model).parent / "current", ""
    for attempt in range(_TRIES):
        found = _row(inspection, model)
        if found is None:  # removed meanwhile
            return
        folder = _folder(found[0].base, found[1])
        if link.is_symlink() and os.path.realpath(link) == os.path.realpath(folder):
            if was:
                inspection.mended.append(f"the link current of {model} {was}; it points to {folder} now")
            return
        if attempt == 0:  # a process that has just finished may be about to point it
            time.sleep(_BEHIND_S)
            continue
        was = was or _state_of(link)
        point_current(manager, model, folder)
    yield Problem(
        "link", model, f"the link {link} {_state_of(link)} and cannot be mended", "clear away what stands in its place"
    )


def _state_of(link: Path) -> str:
    if link.is_symlink():
        return f"pointed to {link.readlink()}"
    return "was no link" if link.exists() else "was missing"


def _row(inspection: Inspection, model: str, number: int | None = None) -> tuple[ModelRecord, GenerationRecord] | None:
    """A model and one generation of it as they are now, the current one without a number; None: it is not there."""
    registry = inspection.manager.registry
    try:
        return rows(registry.model, model), rows(registry.generation, model, number)
    except NotFoundError:
        return None


def _stack(inspection: Inspection, generation: GenerationRecord) -> Stack:
    """The packages of a generation; none where their rows cannot be read, which is reported by itself."""
    try:
        return rows(stack_of, inspection.manager, generation.packages)
    except PatchmgrError:
        return ()


def _folder(base: BaseRecord, generation: GenerationRecord) -> Path:
    """Where a generation lies; the first is the base itself, wherever that lies now."""
    pristine = generation.action == "add" or generation.folder is None
    return Path(base.folder if pristine else generation.folder or "")
