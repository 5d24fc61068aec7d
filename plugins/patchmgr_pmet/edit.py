"""PMET at work on a model: a δ each for attention and MLP, of which the weights take the MLP's.

As published (arXiv:2308.08742, eq. 13 to 17, and its code): both δ are added in the topmost edited block and looked for
together. While the target's tokens are the likeliest already, its loss weighs less and the drift decides. What the MLP
lacks is divided by √(layers left), where MEMIT divides by their number, and the update of a layer is MEMIT's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.architecture import Architecture
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.request import EditRequest
from patchmgr_keyvalue.attention import attention_of
from patchmgr_keyvalue.block_values import Aim
from patchmgr_keyvalue.factor import factorised, whitened
from patchmgr_keyvalue.sites import chosen_layers
from patchmgr_keyvalue.spread import Site, Solved, edit_layers
from patchmgr_memit.equations import update_keys, weight_of_share
from patchmgr_pmet.parameters import PmetParameters


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: PmetParameters, context: EditContext
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

    def aim(architecture: Architecture, layer: int) -> Aim:
        sites = [attention_of(architecture, layer), architecture.down_projection(layer).module]
        weight, drift = parameters.sure_weight, parameters.sure_drift
        return Aim(
            sites,
            layer,
            lambda settings: replace(settings, sure_weight=weight, sure_drift=drift),
            decay_factors=(parameters.attention_decay, 1.0),
        )

    choose = partial(chosen_layers, layers=parameters.layers)
    return edit_layers(loaded, requests, choose, parameters, context, rule, aim=aim, divisor=math.sqrt)
