"""Training a shard: its edits together or one after another, within the mask, and apart from irrelevant text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr_finetune.equations import Moments, adam_step_
from patchmgr_finetune.examples import Example, batched
from patchmgr_finetune.upper import Upper
from patchmgr_inside.answers import mean_loss
from patchmgr_inside.place import Place
from patchmgr_inside.reading import inputs_at
from patchmgr_wise.equations import Pool, descended_, margin_loss, stir
from patchmgr_wise.parameters import WiseParameters

Activations = Float[Tensor, "_ d_in"]


@dataclass(frozen=True)
class Margins:
    """α, β and γ of eq. 5."""

    alpha: float
    beta: float
    gamma: float


@dataclass(frozen=True, eq=False)
class Course:
    """What training is done on and by."""

    place: Place
    parameters: WiseParameters
    margins: Margins
    irrelevant: Sequence[Activations]
    """A(x_i) of the model's own texts."""
    seed: int
    """Draws which of them edits are told apart from, alike for every shard, so that none depends on another."""


def trained(
    course: Course,
    edits: Sequence[Sequence[Example]],
    mask: Bool[Tensor, "d_out d_in"],
    start: Float[Tensor, "d_out d_in"] | None,
) -> Float[Tensor, "d_out d_in"]:
    """The change of a shard after some edits more.

    L = L_edit + L_a (eq. 6): ``steps`` steps on the mean −log P of the answers over their contexts, and on the margins;
    for each edit after another, or with ``replay`` for all of them together. The layers below do not change, so A(x) of
    edits and of irrelevant texts is read once.

    Args:
        course: what training is done on.
        edits: rows of each edit: the prompt in its contexts, with the answer.
        mask: where the shard may change.
        start: what it is; None: nothing yet.

    Raises:
        MethodError: a loss is not finite.
        RequestError: an edit is too long for the model.
    """
    place, projection = course.place, course.place.projection
    device = projection.matrix().device
    shape = (projection.d_out, projection.d_in)
    change = torch.zeros(shape, device=device) if start is None else start.to(device).clone()
    change.requires_grad_()
    mask = mask.to(device)

    def add(_module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        wide: Tensor = output.float() + inputs[0].float() @ change.T
        return wide.to(output.dtype)

    generator = torch.Generator().manual_seed(course.seed)
    together = [[row for rows in edits for row in rows]] if course.parameters.replay and edits else edits
    for rows in together:
        upper = Upper(place.architecture, place.layer, batched(place.model, rows))
        prompts = [row.ids[: row.places[0] + 1] for row in rows]
        inside = inputs_at(place.model, projection.module, prompts)
        handle = projection.module.register_forward_hook(add)
        try:
            _edit(course, upper, inside, change, mask, generator)
        finally:
            handle.remove()
    return change.detach()


def _edit(
    course: Course,
    upper: Upper,
    inside: Sequence[Activations],
    change: Tensor,
    mask: Bool[Tensor, "d_out d_in"],
    generator: torch.Generator,
) -> None:
    """One edit: steps of gradient descent, until it is learned and told apart."""
    parameters, margins = course.parameters, course.margins
    adam = parameters.optimizer == "adam"
    moments = Moments(torch.zeros_like(change), torch.zeros_like(change)) if adam else None
    for step in range(1, parameters.steps + 1):
        drawn = torch.randint(len(course.irrelevant), (parameters.irrelevant,), generator=generator).tolist()
        with torch.enable_grad():
            said = mean_loss(upper)
            loud = torch.stack([stir(A.float(), change, parameters.pool) for A in inside])
            quiet = _quiet([course.irrelevant[index] for index in drawn], change, parameters.pool)
            apart = margin_loss(loud, quiet, margins.alpha, margins.beta, margins.gamma)
            loss = said.to(apart) + apart
        if not torch.isfinite(loss.detach()):
            raise MethodError("the loss of an edit is not a finite number", hint="use a smaller learning_rate")
        if float(said.detach()) < parameters.stop_loss and float(apart.detach()) == 0.0:
            return
        (gradient,) = torch.autograd.grad(loss, [change])
        with torch.no_grad():
            if moments is None:
                descended_(change, gradient, mask, parameters.learning_rate, parameters.limit)
            else:
                adam_step_(change, gradient * mask, moments, step, parameters.learning_rate)
                change.clamp_(-parameters.limit, parameters.limit)


def _quiet(texts: Sequence[Activations], change: Tensor, pool: Pool) -> Float[Tensor, " texts"]:
    """How much irrelevant texts stir; where the last token of a prompt counts, any token may be one."""
    if pool == "last":
        norms: Tensor = (torch.cat(list(texts)) @ change.T).norm(dim=1)
        return norms
    return torch.stack([stir(A, change, pool) for A in texts])
