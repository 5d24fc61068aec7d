"""Scores of the neurons of all layers, by integrated gradients that run no more of the model than changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from patchmgr.methods.architecture import Architecture, Projection
from patchmgr_kn.equations import scales, scores
from patchmgr_kn.questions import Question, as_rows, by_length
from patchmgr_kn.suffix import Suffixes

Progress = Callable[[int, int], None]


def scores_of_prompts(
    architecture: Architecture,
    projections: Sequence[Projection],
    questions: Sequence[Question],
    *,
    steps: int,
    batch: int,
    progress: Progress,
) -> Float[Tensor, "prompts neurons"]:
    """For every prompt the mean score over its questions, neurons layer by layer; on the CPU, float32.

    Args:
        architecture: the model.
        projections: the down-projection of every block.
        questions: of prompts numbered from 0.
        steps: points of the integral.
        batch: questions that are worked on side by side.
        progress: called with (done, total).
    """
    groups = list(by_length([question.ids for question in questions], batch))
    n_prompts = 1 + max(question.prompt for question in questions)
    total = torch.zeros(n_prompts, sum(projection.d_in for projection in projections))
    for number, indices in enumerate(groups):
        progress(number, len(groups))
        own = [questions[index] for index in indices]
        ids = as_rows(architecture.model, [question.ids for question in own])
        tokens = torch.tensor([question.token for question in own], device=ids.device)
        found = _scores(architecture, projections, ids, tokens, steps)
        total.index_add_(0, torch.tensor([question.prompt for question in own]), found)
    counts = torch.bincount(torch.tensor([question.prompt for question in questions]), minlength=n_prompts)
    return total / counts.unsqueeze(1)


def _scores(
    architecture: Architecture,
    projections: Sequence[Projection],
    ids: Int[Tensor, "rows width"],
    tokens: Int[Tensor, " rows"],
    steps: int,
) -> Float[Tensor, "rows neurons"]:
    """Scores for texts of one length. At a share s of its activations an MLP gives s W a."""
    suffixes = Suffixes(architecture, projections, ids)
    shares = scales(steps).to(ids.device).unsqueeze(1)
    found = []
    for layer, projection in enumerate(projections):
        product = (shares * suffixes.product(layer).unsqueeze(1)).flatten(0, 1).requires_grad_()
        with torch.enable_grad():
            P = suffixes.logits(layer, product).softmax(-1).gather(1, tokens.repeat_interleave(steps).unsqueeze(1))
            (gradients,) = torch.autograd.grad(P.sum(), product)
        by_text = gradients.unflatten(0, (len(ids), steps))
        found.append(scores(suffixes.activations[layer], by_text, projection.matrix().float()).cpu())
    return torch.cat(found, dim=1)
