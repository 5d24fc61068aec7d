"""The training loop of the fine-tuning methods: Adam over batches of edits, again and again, until they are learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr_finetune.equations import Moments, adam_step_

Gradients = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Task:
    """What one batch wants."""

    loss: Callable[[], Float[Tensor, ""]]
    """Of the answers; it says whether they are learned."""
    n_examples: int
    penalty: Callable[[], Float[Tensor, ""]] | None = None
    """What is trained beside it."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A tensor that is trained, in place."""

    value: Float[Tensor, "*shape"]
    learning_rate: float


@dataclass(frozen=True)
class Trained:
    """How it went."""

    rounds: int
    """Times that every batch was gone through."""
    loss: float
    """Mean over the edits in the last round, each before its step."""


def train(
    variables: Sequence[Variable],
    tasks: Sequence[Task],
    *,
    rounds: int,
    stop_loss: float,
    after_step: Callable[[int, Gradients], None],
    progress: Callable[[int, int], None],
) -> Trained:
    """Adam, one step a batch, as EasyEdit's loop has it.

    A batch whose loss is below ``stop_loss`` changes nothing; the training ends after a round whose mean is below.

    Args:
        variables: what is trained; each has its own learning rate.
        tasks: the batches, in their order.
        rounds: times that all batches are gone through, at most.
        stop_loss: in nats.
        after_step: called with the number of the step, from 1, and the gradients it was made with.
        progress: called with (done, total) in batches.

    Raises:
        MethodError: a loss is not a finite number.
    """
    values = [variable.value for variable in variables]
    moments = [Moments(torch.zeros_like(value), torch.zeros_like(value)) for value in values]
    n_examples, step = sum(task.n_examples for task in tasks), 0
    for number in range(1, rounds + 1):
        total = 0.0
        for index, task in enumerate(tasks):
            progress((number - 1) * len(tasks) + index, rounds * len(tasks))
            with torch.enable_grad():
                loss = task.loss()
            found = _finite(loss, number)
            total += found * task.n_examples
            if found < stop_loss:
                continue
            if task.penalty is not None:
                with torch.enable_grad():
                    loss = loss + task.penalty().to(loss)
            gradients = torch.autograd.grad(loss, values, materialize_grads=True)
            step += 1
            with torch.no_grad():
                for variable, gradient, kept in zip(variables, gradients, moments, strict=True):
                    adam_step_(variable.value, gradient, kept, step, variable.learning_rate)
                after_step(step, gradients)
        mean = total / n_examples
        if mean < stop_loss:
            break
    return Trained(number, mean)


def _finite(loss: Float[Tensor, ""], number: int) -> float:
    found = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        raise MethodError(
            f"the loss is not a finite number in round {number}", hint="use a smaller learning rate or float32 weights"
        )
    return found
