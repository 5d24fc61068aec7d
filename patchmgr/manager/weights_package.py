"""A package of weights: a method's deltas become canonical bytes, and these are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patchmgr.canonical import sha256_hex
from patchmgr.durable import storing
from patchmgr.manager.cost import metered
from patchmgr.manager.making import Making, Workpiece, draft
from patchmgr.manager.parent import Parent, past_state
from patchmgr.manager.placing import load_to_edit, takes_less
from patchmgr.manager.states import open_packages
from patchmgr.manager.touched import touched_tensors
from patchmgr.methods.contract import EditContext, Payload, PristineBase
from patchmgr.ops import stack as stacks
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.sums import collect
from patchmgr.package.encodings.contract import Delta
from patchmgr.package.manifest import TouchedTensor
from patchmgr.package.scores import Score
from patchmgr.package.writer import write_payload


@dataclass(frozen=True)
class _Result:
    """One touched tensor of the state with the package."""

    module: str
    delta: Delta
    data: bytes


def make(making: Making) -> Workpiece:
    """Run the method, write its deltas and measure the state that they give.

    Raises:
        RequestError: a request that the method cannot use.
        MethodError: the method cannot run on this model, memory ran out, or it gave something unusable.
    """
    from patchmgr.live.shortage import within_memory
    from patchmgr.methods.artefacts import ArtefactStore

    manager, order, method = making.manager, making.order, making.method
    context = EditContext(
        ArtefactStore(manager.settings.artefacts),
        seed=order.seed,
        corpus=order.corpus,
        progress=manager.progress,
        past_state=past_state(manager, making.parent.stack, method),
        base=_base(making),
    )
    hint = takes_less(order, making.parameters)
    with metered() as meter, within_memory(f"editing with {method.name}", hint=hint):
        payload = method.edit(making.loaded, order.requests, making.parameters, context)
    results = _canonical(making, payload)
    with within_memory("measuring the result", hint=takes_less(order)):
        scores = _measure(making, results)
    with storing("the new package"):
        deltas = {name: result.delta for name, result in results.items()}
        write_payload(making.folder, order.requests, deltas, manager.plugins.encodings, payload.state, scores)
    tensors = tuple(_touched(making, name, result) for name, result in results.items())
    made = draft(making, payload, tensors=tensors, n_edits=len(order.requests))
    return Workpiece(made, order.requests, scores, meter.scores(scores))


def _base(making: Making) -> PristineBase:
    """The base itself, whatever is applied; it is loaded when statistics of it are not there yet."""
    root = stacks.state_root(making.state.fingerprint)
    parent = Parent(making.state.base.folder, root, (), {})
    return PristineBase(root, lambda: load_to_edit(making.manager, parent, making.order))


def _canonical(making: Making, payload: Payload) -> dict[str, _Result]:
    """The exact bytes of each touched tensor: base, parent stack and this delta, summed and rounded once."""
    base, parent, encodings = making.state.base, making.parent, making.manager.plugins.encodings
    below = collect(open_packages(making.manager, parent.stack), encodings, base)
    results = {}
    touched = touched_tensors(making.loaded, payload, parent.folder, base, below, encodings)
    for name, found in sorted(touched.items(), key=lambda item: item[0]):
        _, entry = base.entry(name)
        deltas = [*below.get(name, ()), found.delta]
        data, _ = summed_tensor(base.read_bytes(name), entry.dtype, entry.shape, deltas, name=name)
        results[name] = _Result(found.module, found.delta, data)
    return results


def _measure(making: Making, results: Mapping[str, _Result]) -> tuple[Score, ...]:
    """Scores before and after, on the canonical bytes."""
    from patchmgr.evaluate.measure import measure_change
    from patchmgr.live.pairing import elements
    from patchmgr.manager.measuring import default_metrics

    state = making.state
    changed = {**making.parent.digests, **{name: sha256_hex(result.data) for name, result in results.items()}}
    root = stacks.state_root(state.fingerprint.with_tensors(changed))
    weights = {
        result.module: elements(result.data, state.base.entry(name)[1].dtype, state.base.entry(name)[1].shape)
        for name, result in results.items()
    }
    metrics = default_metrics(making.manager)
    return measure_change(making.engine, making.loaded, making.order.requests, metrics, weights, root)


def _touched(making: Making, name: str, result: _Result) -> TouchedTensor:
    _, entry = making.state.base.entry(name)
    return TouchedTensor(
        name=name,
        module=result.module,
        dtype=entry.dtype,
        shape=entry.shape,
        encoding=result.delta.encoding,
        before_sha256=making.parent.digests[name],
        after_sha256=sha256_hex(result.data),
    )
