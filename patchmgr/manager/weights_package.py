"""A package of weights: a method's deltas become canonical bytes, and these are measured."""

from __future__ import annotations

from patchmgr.durable import storing
from patchmgr.manager.canonical import below_sums, canonical, measured, touched_records
from patchmgr.manager.cost import metered
from patchmgr.manager.editors.use import editor_of
from patchmgr.manager.making import Making, Workpiece, draft, method_record
from patchmgr.manager.parent import Parent, past_state
from patchmgr.manager.placing import load_to_edit, takes_less
from patchmgr.manager.touched import touched_tensors
from patchmgr.methods.contract import EditContext, PristineBase
from patchmgr.ops import stack as stacks
from patchmgr.package.writer import write_payload
from patchmgr.readers.sample import draw


def make(making: Making) -> Workpiece:
    """Run the method, write its deltas and measure the state that they give.

    Raises:
        RequestError: a request that the method cannot use.
        MethodError: the method cannot run on this model, memory ran out, or it gave something unusable.
    """
    from patchmgr.live.shortage import within_memory
    from patchmgr.manager.measuring import metrics_for
    from patchmgr.methods.artefacts import ArtefactStore

    manager, state, parent, order, method = making.manager, making.state, making.parent, making.order, making.method
    context = EditContext(
        ArtefactStore(manager.settings.artefacts),
        seed=order.seed,
        corpus=order.corpus,
        editor=editor_of(manager, order, method),
        progress=manager.progress,
        past_state=past_state(manager, parent.stack, method.name),
        base=_base(making),
    )
    hint = takes_less(order, making.parameters)
    with metered() as meter, within_memory(f"editing with {method.name}", hint=hint):
        payload = method.edit(making.loaded, order.requests, making.parameters, context)
    encodings, below = manager.plugins.encodings, below_sums(manager, parent, state.base)
    touched = touched_tensors(making.loaded, payload, parent.folder, state.base, below, encodings)
    results = canonical(state.base, below, touched)
    with within_memory("measuring the result", hint=takes_less(order)):
        metrics = metrics_for(manager, order.require)
        some = draw(order.requests, order.measure, order.seed)
        scores = measured(making.engine, making.loaded, state, parent, some, metrics, results)
    with storing("the new package"):
        deltas = {name: result.delta for name, result in results.items()}
        write_payload(making.folder, order.requests, deltas, encodings, payload.state, scores)
    tensors = touched_records(state.base, parent, results)
    record = method_record(method, payload, order, context.editor)
    made = draft(manager, state, parent, order, record, n_edits=len(order.requests), tensors=tensors)
    return Workpiece(made, order.requests, scores, meter.scores(scores))


def _base(making: Making) -> PristineBase:
    """The base itself, whatever is applied; it is loaded when statistics of it are not there yet."""
    root = stacks.state_root(making.state.fingerprint)
    parent = Parent(making.state.base.folder, root, (), {})
    return PristineBase(root, lambda: load_to_edit(making.manager, parent, making.order))
