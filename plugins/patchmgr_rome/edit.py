"""ROME at work on a model: contexts, C, and for each request key, value and rank-one change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload
from patchmgr.request import EditRequest
from patchmgr_keyvalue.contexts import sample_templates
from patchmgr_keyvalue.factor import factorised
from patchmgr_keyvalue.forwards import untouched
from patchmgr_keyvalue.keys import template_keys
from patchmgr_keyvalue.overlay import LowRankOverlay
from patchmgr_keyvalue.rows import subject_of
from patchmgr_keyvalue.scales import Scales, value_settings
from patchmgr_keyvalue.sites import chosen_projection
from patchmgr_keyvalue.statistics import SecondMoment, second_moments
from patchmgr_keyvalue.target_value import optimise_values, pose
from patchmgr_keyvalue.value_rows import edit_rows
from patchmgr_rome.equations import update_direction, update_length
from patchmgr_rome.parameters import RomeParameters


@dataclass(frozen=True, eq=False)
class _Run:
    """What all requests of one call share."""

    architecture: Architecture
    tokenizer: Any
    layer: int
    templates: tuple[str, ...]
    cholesky: Float[Tensor, "d_in d_in"] | None
    parameters: RomeParameters
    context: EditContext


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: RomeParameters, context: EditContext
) -> Payload:
    """One rank-one change a request, each computed on top of those before, in one delta.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: the layer cannot be edited, or the result is not finite.
    """
    for request in requests:
        subject_of(request)
    architecture = find_architecture(loaded.model)
    layer, projection = chosen_projection(architecture, parameters.layer)
    with untouched(loaded.model), LowRankOverlay(projection) as overlay:
        moment = _second_moment(loaded, overlay, parameters, context)
        device, damping = projection.matrix().device, parameters.statistics_damping
        cholesky = None if moment is None else factorised(moment, damping, device)
        templates = sample_templates(
            loaded.model,
            loaded.tokenizer,
            lengths=parameters.context_lengths,
            n_each=parameters.context_count,
            seed=context.seed,
        )
        run = _Run(architecture, loaded.tokenizer, layer, templates, cholesky, parameters, context)
        added = [_add_edit(run, overlay, request, index, len(requests)) for index, request in enumerate(requests)]
    u, v = projection.factors(overlay.left, overlay.right)
    used = {**parameters.model_dump(mode="json"), "layer": layer, "scales": [asdict(scales) for _, scales in added]}
    return Payload(
        deltas=[LowRankDelta(projection.weight_name, u, v)],
        parameters={**used, "statistics_key": None if moment is None else dict(moment.key)},
        contexts=templates,
        artefacts={} if moment is None else {"covariance": moment.sha256},
        state={f"keys/{layer}": torch.stack([key for key, _ in added], dim=1).float().cpu().numpy()},
    )


def _second_moment(
    loaded: LoadedModel, overlay: LowRankOverlay, parameters: RomeParameters, context: EditContext
) -> SecondMoment | None:
    if parameters.statistics == "identity":
        return None
    tokens, seed = parameters.statistics_tokens, parameters.statistics_seed
    return second_moments(loaded, [overlay.projection], context, n_tokens=tokens, seed=seed)[0]


def _add_edit(
    run: _Run, overlay: LowRankOverlay, request: EditRequest, index: int, n_requests: int
) -> tuple[Float[Tensor, " d_in"], Scales]:
    """Lay the change of one request over the projection; returns the key it holds for, (d_in,), and what was used."""
    projection, settings = overlay.projection, run.parameters

    def progress(done: int, total: int) -> None:
        run.context.progress(index * total + done, n_requests * total, f"edit {index + 1} of {n_requests}")

    keys = template_keys(run.architecture, run.tokenizer, projection, run.templates, request)
    mean_key = keys.mean(0)
    key = mean_key if settings.keys == "consistent" else keys[0]
    rows = edit_rows(run.tokenizer, run.templates, [request])
    problem = pose(run.architecture, [projection.module], run.layer, rows)
    how, (scales,) = value_settings(problem, settings)
    found = optimise_values(problem, how, progress)
    v_star = (found.value0 + found.delta)[0, 0].double().to(key.device)
    u = update_direction(mean_key, run.cholesky)
    left = update_length(v_star, overlay.value(key), key, u)
    if not bool(left.isfinite().all() and u.isfinite().all()):
        raise MethodError(
            f"the change for {request.text!r} at {projection.weight_name} is not finite",
            hint="try another layer, keys=consistent or a larger statistics_damping",
        )
    overlay.add(left.unsqueeze(1), u.unsqueeze(0))
    return key, scales
