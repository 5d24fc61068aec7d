"""MEND at work on a model: one pass forth and back for the edits, then the editor's networks, and no training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Projection, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload, WeightDelta
from patchmgr.methods.training import Editor
from patchmgr.package.encodings.dense import Dense
from patchmgr.request import EditRequest
from patchmgr_finetune.examples import Example, examples
from patchmgr_keyvalue.forwards import untouched, without_gradients_of
from patchmgr_mend import files
from patchmgr_mend.network import Factors
from patchmgr_mend.parameters import MendParameters
from patchmgr_mend.sites import sites_named
from patchmgr_mend.traces import Trace, traced
from patchmgr_ultraedit.equations import worth_factors


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: MendParameters, context: EditContext
) -> Payload:
    """One change of every map that the editor knows, for all requests together.

    Raises:
        MethodError: there is no editor, the model has no such map, or a change is not finite.
        BaseMismatchError: the editor was trained on another base.
        RequestError: a target has no tokens of its own, or a request is too long for the model.
        FormatError: the editor cannot be read.
    """
    editor = _editor(context)
    trained = files.load(editor.files, where=editor.reference)
    root = loaded.state_root if context.base is None else context.base.state_root
    files.check_base(trained, root, where=editor.reference)
    sites = sites_named(loaded, [site.name for site in trained.networks.sites])
    files.check_sites(trained, sites, where=editor.reference)
    networks = trained.networks.to(loaded.model.device)
    with untouched(loaded.model), without_gradients_of(loaded.model):
        traces = _traces(loaded, sites, examples(loaded, requests), parameters.batch, context)
    aggregation = parameters.aggregation or trained.aggregation
    with torch.no_grad():
        factors = networks.factors(traces, aggregation, parameters.ridge)
    deltas = [_delta(site, change) for site, change in zip(sites, factors, strict=True)]
    ridges = [parameters.ridge or float(each.exp()) for each in networks.log_ridges]
    noted = [
        {"weight": site.weight_name, "edit_rate": float(rate), "ridge": ridge if aggregation == "malmen" else None}
        for site, rate, ridge in zip(sites, networks.rates, ridges, strict=True)
    ]
    used = {"aggregation": aggregation, "sites": noted}
    return Payload(deltas, {**parameters.model_dump(mode="json"), **used})


def _editor(context: EditContext) -> Editor:
    if context.editor is None:
        raise MethodError(
            "mend needs a trained editor",
            hint="`patchmgr train mend MODEL --data FILE --name NAME`, then `patchmgr edit … --editor NAME`",
        )
    return context.editor


def _traces(
    loaded: LoadedModel, sites: Sequence[Projection], rows: Sequence[Example], size: int, context: EditContext
) -> list[Trace]:
    """The tokens of all edits at each map, all in one group and only those that count."""
    head = find_architecture(loaded.model, encoder_decoder=True).head
    parts: list[list[Trace]] = [[] for _ in sites]
    for start in range(0, len(rows), size):
        context.progress(start, len(rows), "reading gradients")
        for own, trace in zip(parts, traced(loaded.model, head, sites, rows[start : start + size]), strict=True):
            chosen = trace.present
            u, delta = (part[chosen].unsqueeze(0).to(loaded.model.device) for part in (trace.u, trace.delta))
            own.append(Trace(u, delta))  # a model's blocks may lie on several devices
    return [
        Trace(torch.cat([trace.u for trace in own], 1), torch.cat([trace.delta for trace in own], 1)) for own in parts
    ]


def _delta(site: Projection, change: Factors) -> LowRankDelta | WeightDelta:
    """ΔW in factors, of rank one a token, or whole where those would be larger."""
    D, A = change.D[0], change.A[0]
    if not bool(D.isfinite().all() and A.isfinite().all()):
        raise MethodError(f"the change of {site.weight_name} is not finite", hint="train the editor again")
    if worth_factors(A, D):
        u, v = site.factors(D.T, A)
        return LowRankDelta(site.weight_name, u, v)
    whole = D.T.double() @ A.double()
    laid = whole if site.orientation == "out_in" else whole.T
    return WeightDelta(site.weight_name, Dense(laid.float().cpu().contiguous().numpy()))
