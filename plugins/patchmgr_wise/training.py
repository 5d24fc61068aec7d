"""Training a shard: its edits one after another, by gradient descent within the mask, apart from irrelevant text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr_finetune.equations import answer_loss
from patchmgr_finetune.examples import Example, batched
from patchmgr_finetune.upper import Upper
from patchmgr_inside.place import Place
from patchmgr_inside.reading import inputs_at
from patchmgr_wise.equations import descended_, margin_loss, stir
from patchmgr_wise.parameters import WiseParameters

Activations = Float[Tensor, "tokens d_in"]


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
    generator: torch.Generator
    """Draws which of them an edit is told apart from."""


def trained(
    course: Course,
    edits: Sequence[Sequence[Example]],
    mask: Bool[Tensor, "d_out d_in"],
    start: Float[Tensor, "d_out d_in"] | None,
    progress: Callable[[int], None],
) -> Float[Tensor, "d_out d_in"]:
    """The change of a shard after some edits more.

    L = L_edit + L_a (eq. 6): for each edit ``steps`` steps on the mean −log P of its answer over its contexts, and on
    the margins. The layers below do not change, so A(x) of edits and of irrelevant texts is read once.

    Args:
        course: what training is done on.
        edits: rows of each edit: the prompt in its contexts, with the answer.
        mask: where the shard may change.
        start: what it is; None: nothing yet.
        progress: called with the number of edits that are done.

    Raises:
        MethodError: a loss is not finite.
        RequestError: an edit is too long for the model.
    """
    place, device = course.place, course.place.model.device
    projection = place.projection
    shape = (projection.d_out, projection.d_in)
    change = torch.zeros(shape, device=device) if start is None else start.to(device).clone()
    change.requires_grad_()
    mask = mask.to(device)

    def add(_module: object, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return (output.float() + inputs[0].float() @ change.T).to(output.dtype)

    for number, rows in enumerate(edits):
        progress(number)
        upper = Upper(place.architecture, place.layer, batched(place.model, rows))
        prompts = [row.ids[: row.places[0] + 1] for row in rows]
        inside = inputs_at(place.model, projection.module, prompts)
        handle = projection.module.register_forward_hook(add)
        try:
            _edit(course, upper, inside, change, mask)
        finally:
            handle.remove()
    return change.detach()


def _edit(
    course: Course, upper: Upper, inside: Sequence[Activations], change: Tensor, mask: Bool[Tensor, "d_out d_in"]
) -> None:
    """One edit: steps of gradient descent, until it is learned and told apart."""
    parameters, margins, batch = course.parameters, course.margins, upper.batch
    for _ in range(parameters.steps):
        drawn = torch.randint(len(course.irrelevant), (parameters.irrelevant,), generator=course.generator).tolist()
        with torch.enable_grad():
            said = answer_loss(upper.logits(), batch.at, batch.targets, batch.weights)
            loud = torch.stack([stir(A.float(), change) for A in inside])
            quiet = torch.stack([stir(course.irrelevant[index], change) for index in drawn])
            apart = margin_loss(loud, quiet, margins.alpha, margins.beta, margins.gamma)
            loss = said + apart
        if not torch.isfinite(loss.detach()):
            raise MethodError("the loss of an edit is not a finite number", hint="use a smaller learning_rate")
        if float(said.detach()) < parameters.stop_loss and float(apart.detach()) == 0.0:
            return
        (gradient,) = torch.autograd.grad(loss, [change])
        with torch.no_grad():
            descended_(change, gradient, mask, parameters.learning_rate, parameters.limit)
