"""The frame of MEMIT and the methods after it: one change of several layers for all edits (arXiv:2210.07229, alg. 1).

What is wanted of the topmost layer's block is found first. Then, from the bottom up, each layer takes its share of
what is still missing, and the next one sees what the ones before it achieved. The methods differ in one thing: the
*rule* that turns the keys K of a layer into the right factor of its change ΔW = R · right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload
from patchmgr.request import EditRequest
from patchmgr_keyvalue.block_values import Aim, aimed_values, block_aim
from patchmgr_keyvalue.climb import Climb
from patchmgr_keyvalue.contexts import started_templates
from patchmgr_keyvalue.forwards import untouched
from patchmgr_keyvalue.overlay import LowRankOverlay
from patchmgr_keyvalue.rows import subject_of
from patchmgr_keyvalue.scales import Scales
from patchmgr_keyvalue.settings import KeyValueParameters
from patchmgr_keyvalue.statistics import SecondMoment, second_moments


@dataclass(frozen=True, eq=False)
class Solved:
    """What a rule makes of the keys of one layer."""

    right: Float[Tensor, "edits d_in"]
    """ΔW = R · right, in float64."""
    used: Mapping[str, Any] = field(default_factory=dict)
    """What was derived on the way, as JSON values."""


@dataclass(frozen=True, eq=False)
class Site:
    """One edited layer, as a rule sees it."""

    layer: int
    moment: SecondMoment | None
    """C; None: C = I."""


@dataclass(frozen=True, eq=False)
class _Run:
    """What all layers share."""

    architecture: Architecture
    aim: Aim
    tokenizer: Any
    templates: tuple[str, ...]
    requests: Sequence[EditRequest]
    parameters: KeyValueParameters
    context: EditContext


Rule = Callable[[Site, Float[Tensor, "d_in edits"]], Solved]


def edit_layers(
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    layers: Callable[[Architecture], Sequence[int]],
    parameters: KeyValueParameters,
    context: EditContext,
    rule: Rule,
    *,
    aim: Callable[[Architecture, int], Aim] = block_aim,
    divisor: Callable[[int], float] = float,
) -> Payload:
    """One delta of rank n a layer, for all n requests together.

    Args:
        loaded: the model.
        requests: the edits.
        layers: which blocks of the model to edit, from the bottom up.
        parameters: of the method.
        context: what surrounds the run.
        rule: the method's own part, called once a layer from the bottom up.
        aim: what is wanted of the topmost layer, whose number it is given; MEMIT: what the whole block gives.
        divisor: of what is missing, by the number of layers left.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: a layer cannot be edited, or the result is not finite.
    """
    for request in requests:
        subject_of(request)
    architecture = find_architecture(loaded.model)
    chosen = tuple(layers(architecture))
    projections = [architecture.down_projection(layer) for layer in chosen]
    with untouched(loaded.model), ExitStack() as stack:
        overlays = [stack.enter_context(LowRankOverlay(projection)) for projection in projections]
        sites = _sites(loaded, chosen, overlays, parameters, context)
        templates = started_templates(
            loaded.model,
            loaded.tokenizer,
            n_tokens=parameters.context_tokens,
            n_each=parameters.context_count,
            seed=context.seed,
        )
        aimed = aim(architecture, chosen[-1])
        run = _Run(architecture, aimed, loaded.tokenizer, templates, requests, parameters, context)
        Z, scales = _values(run)
        keys, used = _changes(run, sites, overlays, Z, rule, divisor)
    changes = [(each.projection, *each.projection.factors(each.left, each.right)) for each in overlays]
    moments = {site.layer: site.moment for site in sites if site.moment is not None}
    return Payload(
        deltas=[LowRankDelta(projection.weight_name, u, v) for projection, u, v in changes],
        parameters={
            **parameters.model_dump(mode="json"),
            "sites": used,
            "scales": [asdict(each) for each in scales],
            "statistics_keys": [dict(moment.key) for moment in moments.values()],
        },
        contexts=templates,
        artefacts={f"covariance/{layer}": moment.sha256 for layer, moment in moments.items()},
        state={f"keys/{layer}": K.float().cpu().numpy() for layer, K in keys.items()},
    )


def _values(run: _Run) -> tuple[Float[Tensor, "edits d_out"], tuple[Scales, ...]]:
    """Z at the topmost block."""

    def looking(done: int, total: int) -> None:
        run.context.progress(done, total, "looking for values")

    return aimed_values(run.architecture, run.tokenizer, run.aim, run.templates, run.requests, run.parameters, looking)


def _changes(
    run: _Run,
    sites: Sequence[Site],
    overlays: Sequence[LowRankOverlay],
    Z: Float[Tensor, "edits d_out"],
    rule: Rule,
    divisor: Callable[[int], float],
) -> tuple[dict[int, Float[Tensor, "d_in edits"]], list[dict[str, Any]]]:
    """Lay the change of each layer over its projection, from the bottom up; returns its keys, and what was derived."""
    keys, used = {}, []
    aim, batch = run.aim.module, run.parameters.batch
    climb = Climb(run.architecture, run.tokenizer, aim, run.templates, run.requests, batch)
    for index, (site, overlay) in enumerate(zip(sites, overlays, strict=True)):
        run.context.progress(index, len(sites), f"layer {site.layer}")
        K, H = climb.read(site.layer, overlay.projection)
        R = (Z - H.to(Z.device)).T.to(K.device) / divisor(len(sites) - index)
        solved = rule(site, K)
        if not bool(R.isfinite().all() and solved.right.isfinite().all()):
            raise MethodError(
                f"the change of {overlay.projection.weight_name} is not finite",
                hint="try other layers or a larger statistics_damping",
            )
        overlay.add(R, solved.right)
        keys[site.layer] = K
        used.append({"layer": site.layer, **solved.used})
    return keys, used


def _sites(
    loaded: LoadedModel,
    layers: Sequence[int],
    overlays: Sequence[LowRankOverlay],
    parameters: KeyValueParameters,
    context: EditContext,
) -> list[Site]:
    """The layers with their C, all of them from one pass over the text."""
    if parameters.statistics == "identity":
        return [Site(layer, None) for layer in layers]
    projections = [overlay.projection for overlay in overlays]
    tokens, seed = parameters.statistics_tokens, parameters.statistics_seed
    moments = second_moments(loaded, projections, context, n_tokens=tokens, seed=seed)
    return [Site(layer, moment) for layer, moment in zip(layers, moments, strict=True)]
