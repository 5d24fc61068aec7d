"""AlphaEdit at work on a model: the null space of C at each layer, and the keys of earlier packages of the state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.request import EditRequest
from patchmgr_alphaedit.equations import NullSpace, null_space, update_keys, weight_of_share
from patchmgr_alphaedit.parameters import AlphaEditParameters
from patchmgr_keyvalue.sites import chosen_layers
from patchmgr_keyvalue.spread import Site, Solved, edit_layers
from patchmgr_keyvalue.statistics import SecondMoment

KIND = "null-space"


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: AlphaEditParameters, context: EditContext
) -> Payload:
    """One change of every layer for all requests together, beside the edits that the state carries already.

    The payload keeps the keys of its own edits, and a later package gathers K_past from all that the state then
    carries: what is taken out of the stack is forgotten here too. The published code adds a batch's keys when all
    layers are changed; they are the same, for a layer's keys depend on the layers below it alone.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: a layer cannot be edited, C has no null space, or the result is not finite.
    """

    def rule(site: Site, K: Float[Tensor, "d_in edits"]) -> Solved:
        if site.moment is None:
            raise MethodError("AlphaEdit needs the second moment of the keys", hint="leave statistics as it is")
        space = kept_null_space(context, site.moment, parameters, K.device)
        past = past_keys(context, site.layer, K)
        ridge = parameters.ridge
        ridge = weight_of_share(space, K, parameters.ridge_share) if ridge is None else ridge
        used = {"ridge": ridge, "directions": space.n_directions, "past_keys": past.shape[1]}
        return Solved(update_keys(space, K, past, ridge), used)

    choose = partial(chosen_layers, layers=parameters.layers)
    return edit_layers(loaded, requests, choose, parameters, context, rule)


def kept_null_space(
    context: EditContext, moment: SecondMoment, parameters: AlphaEditParameters, device: torch.device
) -> NullSpace:
    """P of one C, decomposed once and kept among the artefacts, for eigenvectors take minutes on a large layer.

    Raises:
        MethodError: no direction of C is below the threshold.
    """
    threshold, share = parameters.threshold, parameters.null_share
    limit = {"null_share": share} if threshold is None else {"threshold": threshold}

    def compute() -> dict[str, np.ndarray]:
        space = null_space(moment.matrix.to(device), threshold, share)
        return {"basis": space.basis.float().cpu().numpy(), "inside": np.array([space.inside])}

    found = context.artefacts.get_or_compute(KIND, {"recipe": 1, "covariance": moment.sha256, **limit}, compute)
    basis = torch.from_numpy(np.array(found.arrays["basis"])).to(device, torch.float64)
    space = NullSpace(basis, bool(found.arrays["inside"][0]))
    if not space.n_directions:
        raise MethodError(
            f"C of {moment.key['tensor']} has no null space below this limit", hint="raise threshold, or null_share"
        )
    return space


def past_keys(context: EditContext, layer: int, like: Float[Tensor, "d_in edits"]) -> Float[Tensor, "d_in past"]:
    """K of the edits before, in the order of their packages; none for a layer that they did not touch."""
    name = f"keys/{layer}"
    kept = [torch.from_numpy(np.array(state[name])).to(like) for state in context.past_state if name in state]
    return torch.cat([like[:, :0], *kept], dim=1)
