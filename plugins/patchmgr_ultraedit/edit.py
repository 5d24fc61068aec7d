"""UltraEdit at work on a model: one pass forth and back for all edits, then one solve for each edited map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Projection, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload, WeightDelta
from patchmgr.package.encodings.dense import Dense
from patchmgr.request import EditRequest
from patchmgr_keyvalue.forwards import untouched, without_gradients_of
from patchmgr_ultraedit.equations import Moments, directions, ridge_change, ridge_factors, worth_factors
from patchmgr_ultraedit.kept import own_moments, shape_of, to_state, with_past
from patchmgr_ultraedit.parameters import UltraEditParameters
from patchmgr_ultraedit.sites import chosen_sites
from patchmgr_ultraedit.traces import Trace, answered_rows, traced


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: UltraEditParameters, context: EditContext
) -> Payload:
    """One change of every edited map for all requests together.

    Raises:
        RequestError: a target has no tokens of its own, or a request is too long for the model.
        MethodError: a layer cannot be edited, or the result is not finite.
    """
    architecture = find_architecture(loaded.model)
    projections = chosen_sites(architecture, parameters)
    rows = answered_rows(loaded.tokenizer, requests)
    with untouched(loaded.model), without_gradients_of(loaded.model):
        traces = traced(
            architecture,
            projections,
            rows,
            tokens=parameters.tokens,
            batch=parameters.batch,
            progress=lambda done, total: context.progress(done, total, "reading keys and gradients"),
        )
    own = own_moments(projections, traces)
    so_far = with_past(own, context.past_state)
    sites, deltas = [], []
    for index, (projection, trace) in enumerate(zip(projections, traces, strict=True)):
        context.progress(index, len(projections), projection.name)
        moments = so_far[shape_of(projection)]
        rate, D = _moves(projection, trace, moments, parameters)
        deltas.append(_delta(projection, trace.K.double(), D, parameters.ridge))
        sites.append({"weight": projection.weight_name, "learning_rate": rate, "tokens_so_far": moments.count})
    return Payload(deltas, {**parameters.model_dump(mode="json"), "sites": sites}, state=to_state(own))


def _moves(
    projection: Projection, trace: Trace, moments: Moments, parameters: UltraEditParameters
) -> tuple[float, Float[Tensor, "tokens d_out"]]:
    """η and D. Where η is derived, the median token's output moves by a share of what it is."""
    normalised = moments.normalised(torch.cat([trace.K, trace.G], dim=1).double())
    direction = directions(*normalised.split([projection.d_in, projection.d_out], dim=1))
    rate = parameters.learning_rate
    if rate is None:
        output = trace.K.double() @ projection.matrix().double().cpu().T
        moving, lengths = (torch.linalg.vector_norm(each, dim=1).median() for each in (direction, output))
        rate = float(parameters.step_share * lengths / moving) if moving > 0 else 0.0
    return rate, rate * direction


def _delta(
    projection: Projection, K: Float[Tensor, "tokens d_in"], D: Float[Tensor, "tokens d_out"], ridge: float
) -> LowRankDelta | WeightDelta:
    """ΔW in factors, or whole where those would be larger."""
    device = projection.matrix().device
    K, D = K.to(device), D.to(device)
    if worth_factors(K, D):
        left, right = ridge_factors(K, D, ridge)
        u, v = projection.factors(left, right)
        _refuse_infinite(projection, left, right)
        return LowRankDelta(projection.weight_name, u, v)
    change = ridge_change(K, D, ridge)
    _refuse_infinite(projection, change)
    laid = change if projection.orientation == "out_in" else change.T
    return WeightDelta(projection.weight_name, Dense(laid.float().cpu().contiguous().numpy()))


def _refuse_infinite(projection: Projection, *parts: Tensor) -> None:
    if not all(bool(part.isfinite().all()) for part in parts):
        raise MethodError(
            f"the change of {projection.weight_name} is not finite", hint="try other layers or a lower learning_rate"
        )
