"""A package of memory: what the version before remembers and what is added, opened from what was written and measured.

A memory of texts is measured on the pristine base: it says the same whatever the weights are, so it has no parent. A
hidden one belongs to the state that it was made on, and names every tensor of it on which its claims depend.

A version that adds one edit to ten thousand is measured on that one: measuring all again would take minutes for an
answer that ``patchmgr evaluate`` gives whenever it is wanted. The scores say by their dataset digest what they are of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_file
from patchmgr.durable import storing
from patchmgr.errors import ConflictError, UsageError
from patchmgr.manager.cost import metered
from patchmgr.manager.editors.use import editor_of
from patchmgr.manager.making import Making, Workpiece, draft, method_record
from patchmgr.manager.order import EditOrder
from patchmgr.manager.parent import Parent
from patchmgr.manager.placing import takes_less
from patchmgr.manager.remaking.picking import find
from patchmgr.manager.states import open_version
from patchmgr.methods.contract import EditContext
from patchmgr.ops import stack as stacks
from patchmgr.package.manifest import Manifest, MemoryRecord
from patchmgr.package.memory.bundle import FOLDER, MemoryBundle, MemoryDraft, bundle_root, read_bundle
from patchmgr.package.memory.operations import Entry, entry_id
from patchmgr.package.scores import Score
from patchmgr.package.writer import write_payload, write_scores
from patchmgr.readers.sample import draw
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SOME = 100
"""Edits that a version is measured on when it only forgets."""


@dataclass(frozen=True)
class _Before:
    """The version before."""

    bundle: MemoryBundle
    requests: tuple[EditRequest, ...]
    artefacts: Mapping[str, str]
    """By which it was made, and the next version is too."""


def make(making: Making) -> Workpiece:
    """Run the method, write its bundle, and measure how the base answers with it.

    Raises:
        ConflictError: the package of that name was made by another method, or on weights that are others by now.
        UsageError: an entry to forget is not there, or none would be left.
        MethodError: the method cannot run here, or memory ran out.
        FormatError: it gave a bundle that its runtime cannot use.
    """
    from patchmgr.live.shortage import within_memory
    from patchmgr.methods.artefacts import ArtefactStore

    manager, order, method = making.manager, making.order, making.method
    before = _before(making)
    context = EditContext(
        ArtefactStore(manager.settings.artefacts),
        seed=order.seed,
        corpus=order.corpus,
        editor=editor_of(manager, order, method),
        progress=manager.progress,
        memory=before.bundle if before else None,
        forget=_forgotten(before, order.forget),
    )
    with metered() as meter, within_memory(f"editing with {method.name}", hint=takes_less(order, making.parameters)):
        payload = method.edit(making.loaded, order.requests, making.parameters, context)
    memory = payload.memory
    if memory is None:
        raise TypeError(f"{method.name} is of kind memory and gave no bundle")
    requests = _requests(before, order.requests, memory.entries)
    reads = read_tensors(making.loaded.model, memory.reads, making.parent) if memory.reads else None
    if not requests:
        raise UsageError(f"{order.name} would remember nothing", hint="take it out with `patchmgr revert`")
    with storing("the new package"):
        write_payload(making.folder, requests, {}, manager.plugins.encodings, payload.state, (), memory)
    with within_memory("measuring the result", hint=takes_less(order)):
        scores = _measure(making, _measured(before, requests, order))
    with storing("the new package"):
        write_scores(making.folder, scores)
    carried = before.artefacts if before and context.editor is None else {}
    record = method_record(method, replace(payload, artefacts={**carried, **payload.artefacts}), order, context.editor)
    made = draft(
        manager, making.state, making.parent, order, record, n_edits=len(requests), memory=_record(memory, reads)
    )  # fmt: skip
    return Workpiece(made, requests, scores, meter.scores(scores))


def _before(making: Making) -> _Before | None:
    """What the version to go on from remembers: the one that the order names, else the latest; None: there is none."""
    registry, order = making.manager.registry, making.order
    if order.anew or registry.next_number(order.name) == 1:
        return None
    reference = order.name if order.continues is None else order.continues.reference
    package = open_version(making.manager, registry.version(reference))
    manifest = package.manifest
    if manifest.kind != "memory" or manifest.method.name != making.method.name:
        raise ConflictError(
            f"{manifest.reference} was made by {manifest.method.name}, so {making.method.name} cannot add to it",
            hint="give the package another name",
        )
    _check_same_reads(manifest, making.parent)
    return _Before(read_bundle(manifest.reference, package.files), package.requests, manifest.method.artefacts)


def _check_same_reads(manifest: Manifest, parent: Parent) -> None:
    """Refuse to add to a hidden memory on a state in which its keys mean something else."""
    reads = (manifest.memory.reads if manifest.memory else None) or {}
    for name, wanted in reads.items():
        if parent.digests.get(name) != wanted:
            raise ConflictError(
                f"{manifest.reference} knows its prompts by what {name!r} was when it was made, and here it is another",
                hint=f"make it again on this state: `patchmgr rebase MODEL {manifest.reference}`",
            )


def _forgotten(before: _Before | None, texts: Iterable[str]) -> tuple[str, ...]:
    """The ids of the entries that texts mean; a text that means none stays, and the method refuses it."""
    requests = before.requests if before else ()
    places = [(text, find(requests, text)) for text in texts]
    return tuple(text if place is None else entry_id(requests[place]) for text, place in places)


def _requests(
    before: _Before | None, requests: Iterable[EditRequest], entries: Iterable[Entry]
) -> tuple[EditRequest, ...]:
    """The requests behind the entries of a memory, old and new, with their probes."""
    known = {entry_id(request): request for request in (*(before.requests if before else ()), *requests)}
    return tuple(known[entry.id] for entry in entries)


def _measured(before: _Before | None, requests: tuple[EditRequest, ...], order: EditOrder) -> tuple[EditRequest, ...]:
    """The requests that scores are of: those that the version before did not have; where none is new, some of all."""
    old = set(before.requests) if before else set()
    new = tuple(request for request in requests if request not in old)
    return draw(new, order.measure, order.seed) if new else draw(requests, order.measure or _SOME, order.seed)


def _measure(making: Making, requests: tuple[EditRequest, ...]) -> tuple[Score, ...]:
    """Scores before and after, by the bundle as it was written."""
    from patchmgr.evaluate.measure import measure_change
    from patchmgr.manager.measuring import metrics_for
    from patchmgr.methods.runtime import Router, opened

    folder, name = making.folder, making.order.name
    files = {path.relative_to(folder).as_posix(): path for path in (folder / FOLDER).rglob("*") if path.is_file()}
    bundle = read_bundle(name, files)
    runtime = making.manager.plugins.runtime(bundle.config.runtime, wanted_by=name)
    router = Router(((name, opened(runtime, bundle, making.loaded)),))
    found = bundle_root({path: sha256_file(file) for path, file in files.items()})
    root = stacks.state_root(making.state.fingerprint.with_tensors(making.parent.digests), (found,))
    metrics = metrics_for(making.manager, making.order.require)
    return measure_change(making.engine, making.loaded, requests, metrics, {}, root, router)


def _record(memory: MemoryDraft, reads: Mapping[str, str] | None) -> MemoryRecord:
    config = memory.config
    return MemoryRecord(runtime=config.runtime, level=config.level, n_entries=len(memory.entries), reads=reads)


def read_tensors(model: PreTrainedModel, parameters: Iterable[str], parent: Parent) -> dict[str, str]:
    """The tensors of a state that hold some parameters, with their digests; sorted by name.

    Raises:
        MethodError: a parameter is not one tensor of the checkpoint; names it.
    """
    from patchmgr.base.checkpoint import Checkpoint
    from patchmgr.live.pairing import checkpoint_names

    checkpoint = Checkpoint.read(parent.folder)
    names = {name for each in parameters for name in checkpoint_names(model, each, checkpoint)}
    return {name: parent.digests[name] for name in sorted(names)}
