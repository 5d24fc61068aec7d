"""The loop that trainers share: steps, validations with a checkpoint each, and an end when nothing improves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from patchmgr.methods.checkpoints import Best, Checkpoints, Progress

Rank = tuple[float, ...]


@dataclass(frozen=True)
class Schedule:
    """How long."""

    steps: int
    """Updates, at most."""
    validate_every: int
    """Updates between validations, each with a checkpoint."""
    patience: int
    """Validations without improvement of any part after which it ends."""


@dataclass(frozen=True, eq=False)
class Training:
    """What is trained, and how."""

    parts: Mapping[str, Mapping[str, Tensor]]
    """Tensors by name of each part, running statistics included; a part is kept in the state in which it was best."""
    optimiser: torch.optim.Optimizer
    update: Callable[[int], None]
    """Makes the step of that number, counted from 0; what it draws hangs on that number alone."""
    validate: Callable[[int], Mapping[str, Rank]]
    """How good each part is after so many steps, the larger the better."""

    def to_the_end(self, schedule: Schedule, checkpoints: Checkpoints) -> int:
        """All steps that are left; every part is in its best state afterwards.

        What a run before left in the folder is gone on from, with the result that the whole run would have had.

        Returns:
            The latest step of a best state.

        Raises:
            FormatError: what a run before left cannot be read.
        """
        tensors = {name: tensor for part in self.parts.values() for name, tensor in part.items()}
        done = checkpoints.resume(tensors, self.optimiser)
        while done.step < schedule.steps and done.waited < schedule.patience:
            until = min(schedule.steps, done.step + schedule.validate_every)
            for step in range(done.step, until):
                self.update(step)
            done = self._validated(until, done, checkpoints)
            checkpoints.write(done, tensors, self.optimiser)
        for part, own in self.parts.items():
            checkpoints.restore_best(part, done.best[part].step, own)
        return max(best.step for best in done.best.values())

    def _validated(self, step: int, done: Progress, checkpoints: Checkpoints) -> Progress:
        better = {
            part: Best(step, rank)
            for part, rank in self.validate(step).items()
            if part not in done.best or rank > done.best[part].rank
        }
        for part in better:
            checkpoints.keep_best(part, step, self.parts[part])
        return Progress(step, {**done.best, **better}, 0 if better else done.waited + 1)
