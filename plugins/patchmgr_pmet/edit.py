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

from patchmgr.methods.architecture import Architecture
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.request import EditRequest
from patchmgr_keyvalue.attention import attention_of
from patchmgr_keyvalue.block_values import Aim
from patchmgr_keyvalue.sites import chosen_layers
from patchmgr_keyvalue.spread import edit_layers
from patchmgr_memit.edit import covariance_rule
from patchmgr_pmet.parameters import PmetParameters


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: PmetParameters, context: EditContext
) -> Payload:
    """One change of every layer for all requests together.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: a layer cannot be edited, or the result is not finite.
    """

    def aim(architecture: Architecture, layer: int) -> Aim:
        sites = [attention_of(architecture, layer), architecture.down_projection(layer).module]
        weight, drift = parameters.sure_weight, parameters.sure_drift
        return Aim(
            sites,
            layer,
            lambda settings: replace(settings, sure_weight=weight, sure_drift=drift),
            decay_factors=(parameters.attention_decay, 1.0),
        )

    rule = covariance_rule(parameters.statistics_damping, parameters.covariance_weight, parameters.covariance_share)
    choose = partial(chosen_layers, layers=parameters.layers)
    return edit_layers(loaded, requests, choose, parameters, context, rule, aim=aim, divisor=math.sqrt)
