"""FT-L and FT-M at work on a model: a change laid over a down-projection is trained, and no weight is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, Payload, WeightDelta
from patchmgr.package.encodings.dense import Dense
from patchmgr.request import EditRequest
from patchmgr_finetune.equations import answer_loss, derived_learning_rate
from patchmgr_finetune.examples import batched, examples
from patchmgr_finetune.parameters import FineTuneParameters
from patchmgr_finetune.training import Gradients, Task, Variable, train
from patchmgr_finetune.twin import twin
from patchmgr_finetune.upper import Upper


@dataclass(frozen=True, eq=False)
class Site:
    """One trained weight."""

    layer: int
    projection: Projection
    change: Float[Tensor, "d_out d_in"]
    """δ, laid over the projection and trained in place."""
    learning_rate: float


def edit(
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    parameters: FineTuneParameters,
    context: EditContext,
    *,
    last_place: bool,
) -> Payload:
    """One dense delta a layer, for all requests together.

    Args:
        loaded: the model, decoder-only or encoder-decoder; the decoder's blocks are edited.
        requests: the edits.
        parameters: of the method.
        context: what surrounds the run.
        last_place: FT-L, which reads all tokens of a target behind the prompt; otherwise FT-M.

    Raises:
        RequestError: a target has no tokens, or a request is too long for the model.
        MethodError: a layer cannot be edited, or the loss is not finite.
    """
    rows = examples(loaded, requests, last_place=last_place)
    architecture = find_architecture(twin(loaded.model), encoder_decoder=True)
    sites = [_site(architecture, layer, parameters) for layer in chosen_layers(architecture, parameters.layers)]
    chunks = [rows[start : start + parameters.batch] for start in range(0, len(rows), parameters.batch)]
    lowest = sites[0].layer
    uppers = [Upper(architecture, lowest, batched(architecture.model, some)) for some in chunks]

    def limit(_step: int, _gradients: Gradients) -> None:
        if parameters.clamp is not None:
            for site in sites:
                site.change.clamp_(-parameters.clamp, parameters.clamp)

    trained = train(
        [Variable(site.change, site.learning_rate) for site in sites],
        [_task(upper) for upper in uppers],
        rounds=parameters.steps,
        stop_loss=parameters.stop_loss,
        after_step=limit,
        progress=lambda done, total: context.progress(done, total, "training"),
    )
    return Payload(
        deltas=[_delta(site) for site in sites],
        parameters={
            **parameters.model_dump(mode="json"),
            "sites": [{"layer": site.layer, "learning_rate": site.learning_rate} for site in sites],
            "rounds": trained.rounds,
            "loss": trained.loss,
        },
    )


def default_layer(n_blocks: int) -> int:
    """Two thirds of the way up, counted from 0; published is 21 of 28 (GPT-J) and of 32 (Llama-2-7B).

    >>> [default_layer(n) for n in (2, 6, 28, 32)]
    [1, 4, 18, 21]
    """
    return 2 * n_blocks // 3


def chosen_layers(architecture: Architecture, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers from the bottom up, one if None.

    Raises:
        MethodError: one is named twice, or none is.
    """
    if layers is None:
        return (default_layer(len(architecture.blocks)),)
    if not layers or len(set(layers)) != len(layers):
        raise MethodError(f"layers {list(layers)} are not different blocks", hint="such as layers=20,21")
    return tuple(sorted(layers))


def _site(architecture: Architecture, layer: int, parameters: FineTuneParameters) -> Site:
    """A weight with a change of zero laid over it; the hook stays on the twin."""
    projection = architecture.down_projection(layer)
    W = projection.matrix()
    change = torch.zeros_like(
        W, dtype=torch.promote_types(W.dtype, torch.float32), memory_format=torch.contiguous_format
    )
    change.requires_grad_()

    def add(_module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        wide: Tensor = output.to(change.dtype) + inputs[0].to(change.dtype) @ change.T
        return wide.to(output.dtype)

    projection.module.register_forward_hook(add)
    rate = parameters.learning_rate
    rate = derived_learning_rate(W, parameters.learning_rate_share) if rate is None else rate
    return Site(layer, projection, change, rate)


def _task(upper: Upper) -> Task:
    batch = upper.batch

    def loss() -> Float[Tensor, ""]:
        logits = upper.logits()
        device = logits.device  # of the last block, where a model lies on several
        return answer_loss(logits, batch.at.to(device), batch.targets.to(device), batch.weights.to(logits))

    return Task(loss, batch.n_examples)


def _delta(site: Site) -> WeightDelta:
    change = site.change.detach()
    stored = change if site.projection.orientation == "out_in" else change.T
    values = np.ascontiguousarray(stored.to("cpu", torch.float32).numpy())
    return WeightDelta(site.projection.weight_name, Dense(values))
