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
from patchmgr_keyvalue.spread import Rule, Site, Solved, edit_layers
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
    rule = covariance_rule(parameters.statistics_damping, parameters.covariance_weight, parameters.covariance_share)
    choose = partial(chosen_layers, layers=parameters.layers)
    return edit_layers(loaded, requests, choose, parameters, context, rule)


def covariance_rule(damping: float, given: float | None, share: float) -> Rule:
    """MEMIT's update of a layer.

    Args:
        damping: of C, a share of its mean.
        given: λ; None: by ``share``.
        share: λ as a share of the keys' mean kᵀC⁻¹k.
    """

    def rule(site: Site, K: Float[Tensor, "d_in edits"]) -> Solved:
        moment = site.moment
        Y, G = whitened(K, None if moment is None else factorised(moment, damping, K.device))
        weight = weight_of_share(G, share) if given is None else given
        return Solved(update_keys(Y, G, weight), {"covariance_weight": weight})

    return rule
