"""One edit in the making: the method runs, its payload becomes canonical bytes, and these are measured."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.canonical import sha256_hex
from patchmgr.durable import storing
from patchmgr.manager.cost import metered
from patchmgr.manager.order import EditOrder
from patchmgr.manager.parent import Parent, opened_parent, past_state
from patchmgr.manager.placing import load_to_edit, takes_less
from patchmgr.manager.states import ModelState, open_packages
from patchmgr.manager.touched import touched_tensors
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Payload
from patchmgr.ops import stack as stacks
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.sums import collect
from patchmgr.package.encodings.contract import Delta
from patchmgr.package.manifest import BaseRecord, Manifest, MethodRecord, ParentRecord, TouchedTensor
from patchmgr.package.scores import Score
from patchmgr.package.writer import write_payload

if TYPE_CHECKING:
    from patchmgr.evaluate.engine import Engine
    from patchmgr.manager.manager import Manager

LIBRARIES = ("patchmgr", "numpy", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Workpiece:
    """A package whose payload is written and measured; its number and its list of files come last."""

    draft: Manifest
    scores: tuple[Score, ...]
    cost: tuple[Score, ...] = ()
    """What the method took; kept in the registry, for the package shall not differ by it."""


@dataclass(frozen=True)
class _Result:
    """One touched tensor of the state with the package."""

    module: str
    delta: Delta
    data: bytes


def make(
    manager: Manager,
    state: ModelState,
    method: Method,
    parameters: MethodParameters,
    order: EditOrder,
    folder: Path,
    *,
    loaded: LoadedModel | None = None,
    engine: Engine | None = None,
) -> Workpiece:
    """Run a method on a state and write the payload of the package into ``folder``.

    Args:
        manager: the registry.
        state: of the model.
        method: what computes.
        parameters: parsed.
        order: the rest of what was asked for.
        folder: an empty one.
        loaded: the state to edit, where it is in memory already.
        engine: what measures; None: one that keeps its answers in the manager's home.

    Raises:
        RequestError: a request that the method cannot use.
        MethodError: the method cannot run on this model, or gave something unusable.
    """
    with opened_parent(manager, state, order) as parent:
        if loaded is None:
            loaded = load_to_edit(manager, parent, order)
        return _made(manager, state, parent, loaded, method, parameters, order, folder, engine)


def _made(
    manager: Manager,
    state: ModelState,
    parent: Parent,
    loaded: LoadedModel,
    method: Method,
    parameters: MethodParameters,
    order: EditOrder,
    folder: Path,
    engine: Engine | None,
) -> Workpiece:
    from patchmgr.live.memory import within_memory
    from patchmgr.manager.measuring import engine_of

    context = EditContext(
        ArtefactStore(manager.settings.artefacts),
        seed=order.seed,
        corpus=order.corpus,
        progress=manager.progress,
        past_state=past_state(manager, parent.stack, method),
    )
    with metered() as meter, within_memory(f"editing with {method.name}", hint=takes_less(order, parameters)):
        payload = method.edit(loaded, order.requests, parameters, context)
    results = _canonical(manager, loaded, state, parent, payload)
    with within_memory("measuring the result", hint=takes_less(order)):
        engine = engine or engine_of(manager, device=loaded.model.device.type)
        scores = _measure(engine, manager, loaded, state, parent, order, results)
    with storing("the new package"):
        deltas = {name: result.delta for name, result in results.items()}
        write_payload(folder, order.requests, deltas, manager.plugins.encodings, payload.state, scores)
    draft = _draft(manager, state, parent, method, order, payload, results)
    return Workpiece(draft, scores, meter.scores(scores))


def _canonical(
    manager: Manager, loaded: LoadedModel, state: ModelState, parent: Parent, payload: Payload
) -> dict[str, _Result]:
    """The exact bytes of each touched tensor: base, parent stack and this delta, summed and rounded once."""
    encodings = manager.plugins.encodings
    below = collect(open_packages(manager, parent.stack), encodings, state.base)
    results = {}
    touched = touched_tensors(loaded, payload, parent.folder, state.base, below, encodings)
    for name, found in sorted(touched.items(), key=lambda item: item[0]):
        _, entry = state.base.entry(name)
        data, _ = summed_tensor(
            state.base.read_bytes(name), entry.dtype, entry.shape, [*below.get(name, ()), found.delta], name=name
        )
        results[name] = _Result(found.module, found.delta, data)
    return results


def _measure(
    engine: Engine,
    manager: Manager,
    loaded: LoadedModel,
    state: ModelState,
    parent: Parent,
    order: EditOrder,
    results: Mapping[str, _Result],
) -> tuple[Score, ...]:
    """Scores before and after, on the canonical bytes."""
    from patchmgr.evaluate.measure import measure_change
    from patchmgr.live.pairing import elements
    from patchmgr.manager.measuring import default_metrics

    changed = {**parent.digests, **{name: sha256_hex(result.data) for name, result in results.items()}}
    root = stacks.state_root(state.fingerprint.with_tensors(changed))
    weights = {
        result.module: elements(result.data, state.base.entry(name)[1].dtype, state.base.entry(name)[1].shape)
        for name, result in results.items()
    }
    return measure_change(engine, loaded, order.requests, default_metrics(manager), weights, root)


def _draft(
    manager: Manager,
    state: ModelState,
    parent: Parent,
    method: Method,
    order: EditOrder,
    payload: Payload,
    results: Mapping[str, _Result],
) -> Manifest:
    base = state.record.base
    return Manifest(
        name=order.name,
        version=1,
        message=order.message,
        author=manager.settings.actor,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        license=order.license,
        kind="weights",
        method=MethodRecord(
            name=method.name,
            version=method.version,
            parameters=dict(payload.parameters),
            seed=order.seed,
            contexts=tuple(payload.contexts),
            artefacts=dict(payload.artefacts),
        ),
        base=BaseRecord(
            source=base.source,
            revision=base.revision,
            fingerprint=base.fingerprint,
            config_sha256=base.config_sha256,
            tokenizer_sha256=base.tokenizer_sha256,
        ),
        parent=ParentRecord(root=parent.root, packages=stacks.digests(parent.stack)),
        tensors=tuple(_touched(state, parent, name, result) for name, result in results.items()),
        n_edits=len(order.requests),
        files={},
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
    )


def _touched(state: ModelState, parent: Parent, name: str, result: _Result) -> TouchedTensor:
    _, entry = state.base.entry(name)
    return TouchedTensor(
        name=name,
        module=result.module,
        dtype=entry.dtype,
        shape=entry.shape,
        encoding=result.delta.encoding,
        before_sha256=parent.digests[name],
        after_sha256=sha256_hex(result.data),
    )
