"""One edit in the making: the method runs, its payload becomes canonical bytes, and these are measured."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from patchmgr.canonical import sha256_hex
from patchmgr.durable import storing
from patchmgr.manager.cost import metered
from patchmgr.manager.states import ModelState, check_current, open_packages
from patchmgr.manager.touched import touched_tensors
from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Payload
from patchmgr.ops import stack as stacks
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.sums import collect
from patchmgr.package.encodings.contract import Delta
from patchmgr.package.manifest import BaseRecord, Manifest, MethodRecord, ParentRecord, TouchedTensor
from patchmgr.package.scores import Score
from patchmgr.package.writer import write_payload
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.evaluate.engine import Engine
    from patchmgr.manager.manager import Manager

LIBRARIES = ("patchmgr", "numpy", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class EditOrder:
    """What to edit, by which method, and what the package shall be called."""

    name: str
    method: str
    requests: tuple[EditRequest, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As the user gave them; the method's own schema parses strings."""
    message: str = ""
    on: Literal["current", "base"] = "current"
    """Compute on the current state, or on the pristine base whatever is applied."""
    seed: int = 0
    corpus: Path | None = None
    """A text file for statistics; None: the model's own samples."""
    license: str | None = None


@dataclass(frozen=True)
class Workpiece:
    """A package whose payload is written and measured; its number and its list of files come last."""

    draft: Manifest
    scores: tuple[Score, ...]
    cost: tuple[Score, ...] = ()
    """What the method took; kept in the registry, for the package shall not differ by it."""


@dataclass(frozen=True)
class _Parent:
    """The state that is edited."""

    folder: Path
    root: str
    stack: stacks.Stack
    digests: Mapping[str, str]
    """SHA-256 of every tensor."""


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
    from patchmgr.live.load import load_model
    from patchmgr.manager.measuring import engine_of
    from patchmgr.methods.artefacts import ArtefactStore

    parent = _parent(manager, state, order.on)
    if loaded is None:
        manager.progress(0, 1, "loading the model")
        loaded = load_model(parent.folder, parent.root)
    context = EditContext(
        ArtefactStore(manager.settings.artefacts),
        seed=order.seed,
        corpus=order.corpus,
        progress=manager.progress,
        past_state=_past_state(manager, parent.stack, method),
    )
    with metered() as meter:
        payload = method.edit(loaded, order.requests, parameters, context)
    results = _canonical(manager, loaded, state, parent, payload)
    scores = _measure(engine or engine_of(manager), manager, loaded, state, parent, order, results)
    with storing("the new package"):
        deltas = {name: result.delta for name, result in results.items()}
        write_payload(folder, order.requests, deltas, manager.plugins.encodings, payload.state, scores)
    draft = _draft(manager, state, parent, method, order, payload, results)
    return Workpiece(draft, scores, meter.scores(scores))


def _parent(manager: Manager, state: ModelState, on: Literal["current", "base"]) -> _Parent:
    pristine = {name: tensor.sha256 for name, tensor in state.fingerprint.tensors.items()}
    if on == "base" or not state.stack:
        return _Parent(state.base.folder, stacks.state_root(state.fingerprint), (), pristine)
    check_current(manager, state)
    return _Parent(state.folder, state.root, state.stack, {**pristine, **state.generation.tensors})


def _past_state(manager: Manager, stack: stacks.Stack, method: Method) -> tuple[Mapping[str, Any], ...]:
    """What the method kept in the packages of a stack that it made itself."""
    own = [manifest for manifest in stack if manifest.method.name == method.name]
    return tuple(package.state for package in open_packages(manager, own))


def _canonical(
    manager: Manager, loaded: LoadedModel, state: ModelState, parent: _Parent, payload: Payload
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
    parent: _Parent,
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
    parent: _Parent,
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


def _touched(state: ModelState, parent: _Parent, name: str, result: _Result) -> TouchedTensor:
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
