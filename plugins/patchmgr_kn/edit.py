"""Knowledge Neurons at work on a model: who answers for a fact, and what is exchanged in them.

Every request is looked at on the model as it is given, so what a package of many edits adds is the sum of what each
of them adds alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload, WeightDelta
from patchmgr.package.encodings.columns import Columns
from patchmgr.request import EditRequest
from patchmgr_keyvalue.forwards import untouched, without_gradients_of
from patchmgr_kn.attribution import scores_of_prompts
from patchmgr_kn.equations import change, coarse, shared
from patchmgr_kn.parameters import KnParameters
from patchmgr_kn.questions import ask


@dataclass(frozen=True, eq=False)
class _Run:
    """What all requests of one call share."""

    loaded: LoadedModel
    architecture: Architecture
    projections: tuple[Projection, ...]
    embeddings: Float[Tensor, "vocabulary d_out"]
    new_weight: float
    old_weight: float
    parameters: KnParameters
    context: EditContext


@dataclass(frozen=True, eq=False)
class _Found:
    """What one request changes, on the CPU."""

    neurons: tuple[Bool[Tensor, " d_in"], ...]
    """For every layer, which ones."""
    change: Float[Tensor, " d_out"]
    """What is added to the value of each of them, float64."""


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: KnParameters, context: EditContext
) -> Payload:
    """The neurons of every request, and one delta for each layer that holds any.

    Raises:
        RequestError: a target has no tokens of its own, or a request is too long for the model.
        MethodError: a layer cannot be edited, or no neuron answers for a request.
    """
    architecture = find_architecture(loaded.model)
    projections = tuple(architecture.down_projection(layer) for layer in range(len(architecture.blocks)))
    embeddings = _embeddings(architecture)
    derived = _derived_weight(embeddings, projections, parameters.weight_share)
    new_weight = derived if parameters.new_weight is None else parameters.new_weight
    old_weight = derived if parameters.old_weight is None else parameters.old_weight
    run = _Run(loaded, architecture, projections, embeddings, new_weight, old_weight, parameters, context)
    found: list[_Found] = []
    with untouched(loaded.model), without_gradients_of(loaded.model):
        for start in range(0, len(requests), parameters.batch):
            found += _find(run, requests[start : start + parameters.batch], start, len(requests))
    deltas = [delta for layer, projection in enumerate(projections) for delta in _deltas(layer, projection, found)]
    used = {**parameters.model_dump(mode="json"), "new_weight": new_weight, "old_weight": old_weight}
    return Payload(deltas, {**used, "neurons": [_named(each) for each in found]})


def _embeddings(architecture: Architecture) -> Float[Tensor, "vocabulary d_out"]:
    weight: Tensor = architecture.model.get_input_embeddings().get_parameter("weight").detach()
    if weight.shape[1] != architecture.hidden_size:
        raise MethodError(
            f"the embeddings of {type(architecture.model).__name__} are {weight.shape[1]} wide and its blocks "
            f"{architecture.hidden_size}, so that no word can be written into a neuron",
            hint="use another method on this model",
        )
    return weight


def _derived_weight(
    embeddings: Float[Tensor, "vocabulary d_out"], projections: Sequence[Projection], share: float
) -> float:
    """The weight at which the mean embedding is ``share`` as long as the mean column of W."""
    lengths = [float(torch.linalg.vector_norm(own.matrix().float(), dim=0).mean()) for own in projections]
    return share * sum(lengths) / len(lengths) / float(torch.linalg.vector_norm(embeddings.float(), dim=1).mean())


def _find(run: _Run, requests: Sequence[EditRequest], start: int, n_requests: int) -> list[_Found]:
    """Neurons and change of some requests, of which ``start`` others came before."""
    parameters = run.parameters

    def progress(done: int, total: int) -> None:
        run.context.progress(start * total + done * len(requests), n_requests * total, "looking for neurons")

    asked = ask(run.loaded.model, run.loaded.tokenizer, requests, refine=parameters.refine)
    by_prompt = scores_of_prompts(
        run.architecture,
        run.projections,
        asked.questions,
        steps=parameters.steps,
        batch=parameters.batch,
        progress=progress,
    )
    above = torch.stack([coarse(scores, parameters.threshold) for scores in by_prompt])
    owner = torch.tensor(asked.request_of_prompt)
    widths = [projection.d_in for projection in run.projections]
    found = []
    for index, request in enumerate(requests):
        neurons = shared(above[owner == index], parameters.share)
        if not bool(neurons.any()):
            raise MethodError(f"no neuron answers for {request.text!r}", hint="lower share, or set refine=false")
        new, old = (run.embeddings[list(tokens)].double().cpu() for tokens in (asked.new[index], asked.old[index]))
        exchanged = change(new, old, run.new_weight, run.old_weight)
        found.append(_Found(neurons.split(widths), exchanged))
    return found


def _deltas(layer: int, projection: Projection, found: Sequence[_Found]) -> Iterator[WeightDelta | LowRankDelta]:
    """Σ over requests of change ⊗ neurons: whole columns of a Linear's weight, rows of a Conv1D's."""
    here = [each for each in found if bool(each.neurons[layer].any())]
    if not here:
        return
    C = torch.stack([each.change for each in here], dim=1)
    S = torch.stack([each.neurons[layer] for each in here]).double()
    if projection.orientation == "in_out":
        yield LowRankDelta(projection.weight_name, *projection.factors(C, S))
        return
    indices = S.any(0).nonzero().squeeze(1)
    values = (C @ S[:, indices]).float().numpy()
    yield WeightDelta(projection.weight_name, Columns(indices.numpy(), values, (projection.d_out, projection.d_in)))


def _named(found: _Found) -> list[list[int]]:
    """Layer and number of each neuron, from 0."""
    return [[layer, index] for layer, own in enumerate(found.neurons) for index in own.nonzero().squeeze(1).tolist()]
