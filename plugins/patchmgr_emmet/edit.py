"""EMMET at work on a model: C of one layer, factorised once, and ε as given or in the units of the keys."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.architecture import Architecture
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.request import EditRequest
from patchmgr_emmet.equations import slack_of_share, update_keys
from patchmgr_emmet.parameters import EmmetParameters
from patchmgr_keyvalue.factor import factorised, whitened
from patchmgr_keyvalue.sites import chosen_projection
from patchmgr_keyvalue.spread import Site, Solved, edit_layers


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: EmmetParameters, context: EditContext
) -> Payload:
    """One change of one layer for all requests together.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: the layer cannot be edited, or the result is not finite.
    """

    def rule(site: Site, K: Float[Tensor, "d_in edits"]) -> Solved:
        moment = site.moment
        cholesky = None if moment is None else factorised(moment, parameters.statistics_damping, K.device)
        Y, G = whitened(K, cholesky)
        weight, slack = parameters.covariance_weight, parameters.slack
        slack = slack_of_share(G, weight, parameters.slack_share) if slack is None else slack
        return Solved(update_keys(Y, G, weight, slack), {"slack": slack})

    def choose(architecture: Architecture) -> tuple[int]:
        return chosen_projection(architecture, parameters.layer)[:1]

    return edit_layers(loaded, requests, choose, parameters, context, rule)
