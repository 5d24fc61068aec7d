"""Importing: a package from a folder as it is, or a LoRA adapter of PEFT's as the next version of a package.

What an adapter was trained on is not in it, so its author says by requests what it shall answer; it is measured on them
as every edit is. No method made it, so it is not made again: ``rebase`` and ``cherry-pick`` refuse it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr import __version__
from patchmgr.durable import scratch_folder, storing
from patchmgr.errors import MethodError, NotFoundError, UsageError
from patchmgr.exporters.peft.reading import AdapterModule, LoraAdapter, is_adapter, read_adapter
from patchmgr.manager.aftermath import notify
from patchmgr.manager.canonical import canonical, measured, touched_records
from patchmgr.manager.edit import EditPreview, EditResult, check_required, store
from patchmgr.manager.making import Workpiece, draft
from patchmgr.manager.order import EditOrder
from patchmgr.manager.packages import adopt
from patchmgr.manager.parent import PEFT_IMPORT, Parent, opened_parent
from patchmgr.manager.signing.ask import require_signatures
from patchmgr.manager.states import ModelState, read_state
from patchmgr.manager.touched import touched_tensors
from patchmgr.methods.contract import LoadedModel, LowRankDelta, Payload
from patchmgr.package.files import check_is_folder
from patchmgr.package.manifest import MethodRecord, check_name
from patchmgr.package.reader import MANIFEST, EditPackage
from patchmgr.package.writer import write_payload
from patchmgr_registry import VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class ImportPreview:
    """What an import would take in."""

    reference: str
    digest: str | None
    """Of a package; an adapter has none before it is made one."""
    edit: EditPreview | None
    """Of an adapter."""


def kind_of(folder: Path) -> str:
    """``package`` or ``adapter``; a package that carries an adapter along is a package.

    Raises:
        NotFoundError: there is no such folder, or it is neither, or cannot be read.
    """
    check_is_folder(folder)
    with contextlib.suppress(OSError):  # a folder that may not be read
        if (folder / MANIFEST).is_file():
            return "package"
        if is_adapter(folder):
            return "adapter"
    raise NotFoundError(
        f"{str(folder)!r} is neither an edit package nor a LoRA adapter",
        hint="it needs patch.json, or adapter_config.json and adapter_model.safetensors",
    )


def import_package(manager: Manager, folder: Path, *, again: bool = False) -> VersionRecord:
    """Take a package in under its own name and number, unless it is here already.

    Raises:
        ForgottenError: it was forgotten, and ``again`` does not say to take it in all the same.
        IntegrityError: a byte is not what its digest says, or it is not signed as the setting ``signatures`` asks.
        ConflictError: the registry has other bytes under that name and number.
    """
    manifest = EditPackage.read(folder).manifest
    require_signatures(manager, [manifest], {manifest.digest: folder})
    return adopt(manager, folder, again=again)


def import_adapter(manager: Manager, model: str, folder: Path, order: EditOrder) -> EditResult:
    """Make a package from a LoRA adapter, on the base of a model; the model stays as it is.

    Args:
        manager: the registry.
        model: on whose base the adapter was trained.
        folder: of the adapter.
        order: of :func:`adapter_order`.

    Raises:
        NotFoundError: no such model, or pickled factors.
        FormatError: a file is damaged, or it is no plain LoRA.
        MethodError: the adapter does not fit the model, changes what is no linear map, or memory ran out.
        GateError: a requirement is not met; nothing is stored.
    """
    state, adapter = _checked(manager, model, folder, order)
    with (
        scratch_folder(manager.settings.home / "tmp", "edit-", what="the new package") as scratch,
        opened_parent(manager, state, order) as parent,
    ):
        workpiece = _made(manager, state, parent, adapter, order, scratch)
        version = store(manager, model, workpiece, order, scratch)
    notify(manager, order.action, model, (version.digest,), state.root)
    return EditResult(version, workpiece.scores)


def check_import(manager: Manager, folder: Path, model: str | None, order: EditOrder | None) -> ImportPreview:
    """Everything that an import checks before it changes anything, or loads a model."""
    if order is None or model is None:
        manifest = EditPackage.read(folder).manifest
        require_signatures(manager, [manifest], {manifest.digest: folder})
        return ImportPreview(manifest.reference, manifest.digest, None)
    _, adapter = _checked(manager, model, folder, order)
    reference = f"{order.name}@v{manager.registry.next_number(order.name)}"
    return ImportPreview(
        reference,
        None,
        EditPreview(reference, PEFT_IMPORT, len(order.requests), _parameters(adapter), ()),
    )


def adapter_order(name: str, **wanted: Any) -> EditOrder:
    """An order for a package from an adapter; ``wanted`` are other fields of it.

    Raises:
        UsageError: there are no requests.
    """
    if not wanted.get("requests"):
        raise UsageError(
            "what the adapter teaches is not in it, and a package says what it answers", hint="give --edits FILE"
        )
    return EditOrder(name=name, method=PEFT_IMPORT, on="base", action="import", **wanted)


def _checked(manager: Manager, model: str, folder: Path, order: EditOrder) -> tuple[ModelState, LoraAdapter]:
    check_name(order.name)
    check_required(manager, order.require)
    adapter = read_adapter(folder)
    return read_state(manager, model), adapter


def _made(
    manager: Manager, state: ModelState, parent: Parent, adapter: LoraAdapter, order: EditOrder, folder: Path
) -> Workpiece:
    from patchmgr.live.shortage import within_memory
    from patchmgr.manager.measuring import engine_of, metrics_for
    from patchmgr.manager.placing import load_to_edit, takes_less

    loaded = load_to_edit(manager, parent, order)
    payload = Payload([_delta(loaded, module) for module in adapter.modules], _parameters(adapter))
    encodings = manager.plugins.encodings
    touched = touched_tensors(loaded, payload, parent.folder, state.base, {}, encodings)
    results = canonical(state.base, {}, touched)
    with within_memory("measuring the result", hint=takes_less(order)):
        metrics = metrics_for(manager, order.require)
        engine = engine_of(manager, device=loaded.model.device.type)
        scores = measured(engine, loaded, state, parent, order.requests, metrics, results)
    with storing("the new package"):
        deltas = {name: result.delta for name, result in results.items()}
        write_payload(folder, order.requests, deltas, encodings, {}, scores)
    record = MethodRecord(name=PEFT_IMPORT, version=__version__, parameters=_parameters(adapter), given=())
    tensors = touched_records(state.base, parent, results)
    made = draft(manager, state, parent, order, record, n_edits=len(order.requests), tensors=tensors)
    return Workpiece(made, order.requests, scores)


def _delta(loaded: LoadedModel, module: AdapterModule) -> LowRankDelta:
    """What a module's factors add to its weight as it lies in the checkpoint; its type says how that is."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    from patchmgr.exporters.peft.factors import stored_factors

    found = dict(loaded.model.named_modules()).get(module.path)
    if not isinstance(found, nn.Linear | Conv1D):
        what = "has no such module" if found is None else f"has a {type(found).__name__} there, which is no linear map"
        raise MethodError(
            f"the adapter changes {module.path}, and the model {what}",
            hint="choose the model whose base it was trained on",
        )
    stored_in_out = isinstance(found, Conv1D)
    d_out, d_in = reversed(found.weight.shape) if stored_in_out else found.weight.shape
    if (module.b.shape[0], module.a.shape[1]) != (d_out, d_in):
        raise MethodError(
            f"{module.path} maps {module.a.shape[1]} to {module.b.shape[0]} in the adapter, {d_in} to {d_out} here",
            hint="choose the model whose base it was trained on",
        )
    factors = stored_factors(module.a, module.b, module.scale, stored_in_out=stored_in_out)
    return LowRankDelta(f"{module.path}.weight", factors.u, factors.v)


def _parameters(adapter: LoraAdapter) -> dict[str, Any]:
    """Where the package comes from."""
    return {
        "files": dict(adapter.digests),
        "base_model_name_or_path": adapter.base,
        "modules": [
            {"module": module.path, "rank": int(module.a.shape[0]), "scale": module.scale} for module in adapter.modules
        ],
    }
