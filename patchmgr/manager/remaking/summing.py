"""The sum of packages as a package: their deltas side by side, made without a model.

It is the same in every stack as the packages themselves: the kernel sums the same terms. No method made it, so it is
not made again: whoever wants that merges packages that were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from patchmgr import __version__
from patchmgr.durable import scratch_folder, storing
from patchmgr.errors import ConflictError, UsageError
from patchmgr.manager.aftermath import notify
from patchmgr.manager.canonical import Result, canonical, measured, touched_records
from patchmgr.manager.edit import EditPreview, EditResult, check_required, store
from patchmgr.manager.making import Workpiece, draft
from patchmgr.manager.order import EditOrder
from patchmgr.manager.parent import MERGE_SUM, Parent, opened_parent
from patchmgr.manager.remaking.facts import Together
from patchmgr.manager.remaking.source import Source, Wishes
from patchmgr.manager.states import ModelState, open_packages, read_state
from patchmgr.manager.touched import Touched
from patchmgr.ops import stack as stacks
from patchmgr.ops.sums import collect
from patchmgr.package.encodings.concatenated import concatenated
from patchmgr.package.encodings.contract import Array, Delta, Replacement
from patchmgr.package.manifest import MethodRecord, check_name
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Score
from patchmgr.package.writer import write_payload

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_SAYS_NOTHING = ("method", "parameters", "seed", "corpus")


def sum_order(name: str, sources: Sequence[Source], edits: Together, wishes: Wishes, *, message: str) -> EditOrder:
    """An order for the sum of some packages.

    Raises:
        UsageError: a wish that means nothing where no method runs, or licences differ and none is given.
    """
    idle = [wish for wish in _SAYS_NOTHING if getattr(wishes, wish)]
    if idle or wishes.on == "current":
        raise UsageError(
            f"no method runs for a sum, so {', '.join(idle) or 'on'} says nothing", hint="leave it out, or --how joint"
        )
    licences = {source.manifest.license for source in sources}
    if wishes.license is None and len(licences) > 1:
        raise UsageError("the packages have different licences", hint="say which with --license")
    return EditOrder(
        name=name,
        method=MERGE_SUM,
        requests=edits.requests,
        message=message if wishes.message is None else wishes.message,
        on="base",
        license=wishes.license or licences.pop(),
        origins=tuple(source.named("merged") for source in sources),
        action="merge",
        require=wishes.require,
        device=wishes.device,
        dtype=wishes.dtype,
        device_map=wishes.device_map,
    )


def add_up(
    manager: Manager, model: str, sources: Sequence[Source], order: EditOrder, *, measure: bool = True
) -> EditResult:
    """Store the sum of some packages.

    Args:
        manager: the registry.
        model: on whose base they were made.
        sources: the packages.
        order: of :func:`sum_order`.
        measure: False: store it without scores; no model is loaded then.

    Raises:
        ConflictError: a package was computed on others, replaces bytes, or is a memory.
        BaseMismatchError: one was made for another base.
        GateError: a requirement is not met; nothing is stored.
        MethodError: memory ran out.
    """
    state = _checked(manager, model, sources, order)
    with (
        scratch_folder(manager.settings.home / "tmp", "edit-", what="the new package") as folder,
        opened_parent(manager, state, order) as parent,
    ):
        workpiece = _made(manager, state, parent, sources, order, folder, measure=measure)
        version = store(manager, model, workpiece, order, folder)
    notify(manager, order.action, model, (version.digest,), state.root)
    return EditResult(version, workpiece.scores)


def check_sum(manager: Manager, model: str, sources: Sequence[Source], order: EditOrder) -> EditPreview:
    """Everything that :func:`add_up` checks before it sums."""
    _checked(manager, model, sources, order)
    number = manager.registry.next_number(order.name)
    return EditPreview(f"{order.name}@v{number}", MERGE_SUM, len(order.requests), _parameters(sources), ())


def _checked(manager: Manager, model: str, sources: Sequence[Source], order: EditOrder) -> ModelState:
    """The model, on whose base all packages can be summed."""
    check_name(order.name)
    check_required(manager, order.require)
    state = read_state(manager, model)
    for manifest in (source.manifest for source in sources):
        stacks.check_base(manifest, state.fingerprint, model=model)
        encodings = [manager.plugins.encodings[tensor.encoding] for tensor in manifest.tensors]
        if manifest.kind == "memory":
            why = "is a memory"
        elif manifest.parent.packages:
            why = f"was computed on {len(manifest.parent.packages)} package(s)"
        elif any(encoding.replacing for encoding in encodings):
            why = "replaces bytes instead of adding to them"
        else:
            continue
        raise ConflictError(f"{manifest.reference} {why} and cannot be summed", hint="edit again with --how joint")
    return state


def _made(
    manager: Manager,
    state: ModelState,
    parent: Parent,
    sources: Sequence[Source],
    order: EditOrder,
    folder: Path,
    *,
    measure: bool,
) -> Workpiece:
    packages = open_packages(manager, [source.manifest for source in sources])
    modules = {tensor.name: tensor.module for package in packages for tensor in package.manifest.tensors}
    sums = collect(packages, manager.plugins.encodings, state.base)
    touched = {
        name: Touched(modules[name], _summed(name, state.base.entry(name)[1].shape, deltas))
        for name, deltas in sums.items()
    }
    results = canonical(state.base, {}, touched)
    scores = _measured(manager, state, parent, order, results) if measure else ()
    with storing("the new package"):
        deltas = {name: result.delta for name, result in results.items()}
        write_payload(folder, order.requests, deltas, manager.plugins.encodings, _kept(packages), scores)
    record = MethodRecord(name=MERGE_SUM, version=__version__, parameters=_parameters(sources), given=())
    tensors = touched_records(state.base, parent, results)
    made = draft(manager, state, parent, order, record, n_edits=len(order.requests), tensors=tensors)
    return Workpiece(made, order.requests, scores)


def _measured(
    manager: Manager, state: ModelState, parent: Parent, order: EditOrder, results: Mapping[str, Result]
) -> tuple[Score, ...]:
    from patchmgr.live.shortage import within_memory
    from patchmgr.manager.measuring import engine_of, metrics_for
    from patchmgr.manager.placing import load_to_edit, takes_less

    loaded = load_to_edit(manager, parent, order)
    engine = engine_of(manager, device=loaded.model.device.type)
    with within_memory("measuring the result", hint=takes_less(order)):
        metrics = metrics_for(manager, order.require)
        return measured(engine, loaded, state, parent, order.requests, metrics, results)


def _parameters(sources: Sequence[Source]) -> dict[str, Any]:
    """What was summed, in order."""
    manifests = [source.manifest for source in sources]
    parts = [{"reference": m.reference, "digest": m.digest, "method": m.method.name} for m in manifests]
    return {"packages": parts}


def _kept(packages: Sequence[EditPackage]) -> dict[str, Array]:
    """What later edits need of each package, under its place."""
    return {
        f"{place}/{name}": np.asarray(array)
        for place, package in enumerate(packages)
        for name, array in package.state.items()
    }


def _summed(name: str, shape: tuple[int, ...], deltas: Sequence[Delta]) -> Delta:
    """The deltas of one tensor, of packages that were found to replace nothing, as one."""
    found = concatenated([delta for delta in deltas if not isinstance(delta, Replacement)], shape)
    if found is None:
        raise ConflictError(
            f"the changes of {name!r}, which is no matrix, have no exact sum in float32",
            hint="edit again with --how joint",
        )
    return found
