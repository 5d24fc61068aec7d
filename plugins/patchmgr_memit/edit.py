"""MEMIT at work on a model: C of each layer, factorised once, and λ as given or in the units of the keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.request import EditRequest
from patchmgr_keyvalue.factor import factorised, whitened
from patchmgr_keyvalue.sites import chosen_layers
from patchmgr_keyvalue.spread import Site, Solved, edit_layers
from patchmgr_memit.equations import update_keys, weight_of_share
from patchmgr_memit.parameters import MemitParameters


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: MemitParameters, context: EditContext
) -> Payload:
    """One change of every layer for all requests together.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: a layer cannot be edited, or the result is not finite.
    """

    def rule(site: Site, K: Float[Tensor, "d_in edits"]) -> Solved:
        moment = site.moment
        cholesky = None if moment is None else factorised(moment, parameters.statistics_damping, K.device)
        Y, G = whitened(K, cholesky)
        weight = parameters.covariance_weight
        weight = weight_of_share(G, parameters.covariance_share) if weight is None else weight
        return Solved(update_keys(Y, G, weight), {"covariance_weight": weight})

    choose = partial(chosen_layers, layers=parameters.layers)
    return edit_layers(loaded, requests, choose, parameters, context, rule)
