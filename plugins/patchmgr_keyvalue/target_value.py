"""v*: the value that makes the model say the target, found by gradient descent on δ (ROME, arXiv:2202.05262, eq. 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture
from patchmgr_keyvalue import value_loss
from patchmgr_keyvalue.forwards import without_gradients_of
from patchmgr_keyvalue.reach import refuse_unread
from patchmgr_keyvalue.replay import Replay
from patchmgr_keyvalue.value_rows import EditRows


@dataclass(frozen=True, eq=False)
class ValueSettings:
    """How v* is looked for."""

    steps: int = 20
    """Losses evaluated; δ moves once less."""
    learning_rate: float | Float[Tensor, " edits"] = 0.5
    """Of Adam: one for all edits, or one for each."""
    weight_decay: float | Float[Tensor, "edits sites"] = 0.5
    """Of ‖δ‖/‖v₀‖²: one for all edits, or one for each and each site."""
    clamp: float = 4.0
    """‖δ‖ ≤ clamp · ‖v₀‖ at each site."""
    kl_factor: float = 0.0625
    stop_loss: float = 0.05
    """An edit whose loss is below moves no further."""
    sure_weight: float = 1.0
    """Weight of the target's loss in the step after one that found all its tokens the likeliest (PMET: 0.1)."""
    sure_drift: float | None = None
    """An edit whose tokens are all the likeliest moves no further when the drift costs at most this (PMET: 0.01)."""


@dataclass(frozen=True, eq=False)
class TargetValues:
    """What was found, one row an edit, float32."""

    delta: Float[Tensor, "edits sites d_out"]
    value0: Float[Tensor, "edits sites d_out"]
    """v₀: the values in the plain prompt."""
    loss: Float[Tensor, " edits"]
    """The loss at ``delta``."""
    n_steps: int


@dataclass(frozen=True, eq=False)
class Losses:
    """Of every edit at one δ."""

    target: Float[Tensor, " edits"]
    drift: Float[Tensor, " edits"]
    decay: Float[Tensor, " edits"]
    sure: Bool[Tensor, " edits"]
    """Whether all tokens of the target are the likeliest; looked at only where the settings ask for it."""

    def total(self, target_weight: float | Float[Tensor, " edits"] = 1.0) -> Float[Tensor, " edits"]:
        """Eq. 4 with decay."""
        return target_weight * self.target + self.drift + self.decay


@dataclass(frozen=True, eq=False)
class ValueProblem:
    """Rows of all edits, run with δ, and what belongs to whom."""

    replay: Replay
    value0: Float[Tensor, "edits sites d_out"]
    hidden0: Float[Tensor, "edits d_out"]
    """What the block of the sites gives in the plain prompt."""
    edit_of_row: Int[Tensor, " rows"]
    targets: Int[Tensor, " tokens"]
    weights: Float[Tensor, " tokens"]
    edit_of_token: Int[Tensor, " tokens"]

    def losses(self, delta: Float[Tensor, "edits sites d_out"], settings: ValueSettings) -> Losses:
        """The terms of eq. 4, for every edit."""
        n_edits, n_targets = len(delta), len(self.targets)
        logits = self.replay.logits(delta[self.edit_of_row])
        said = logits[:n_targets]
        drift = torch.zeros(n_edits, device=logits.device)
        if settings.kl_factor:
            before = self.replay.logits_before[n_targets:]
            drift = settings.kl_factor * value_loss.essence_loss(logits[n_targets:], before)
        sure = torch.zeros(n_edits, dtype=torch.bool, device=logits.device)
        if settings.sure_weight != 1 or settings.sure_drift is not None:
            sure = value_loss.all_likeliest(said.detach(), self.targets, self.edit_of_token, n_edits)
        return Losses(
            target=value_loss.target_loss(said, self.targets, self.weights, self.edit_of_token, n_edits),
            drift=drift,
            decay=(settings.weight_decay * value_loss.decay_loss(delta, self.value0)).sum(1),
            sure=sure,
        )

    def only(self, kept: Int[Tensor, " kept"]) -> ValueProblem:
        """The same for some of the edits."""
        number = torch.full((len(self.value0),), -1, device=kept.device)
        number[kept] = torch.arange(len(kept), device=kept.device)
        rows, tokens = number[self.edit_of_row] >= 0, number[self.edit_of_token] >= 0
        return ValueProblem(
            replay=self.replay.only(rows.nonzero().squeeze(1)),
            value0=self.value0[kept],
            hidden0=self.hidden0[kept],
            edit_of_row=number[self.edit_of_row[rows]],
            targets=self.targets[tokens],
            weights=self.weights[tokens],
            edit_of_token=number[self.edit_of_token[tokens]],
        )


def pose(architecture: Architecture, sites: Sequence[nn.Module], layer: int, edits: Sequence[EditRows]) -> ValueProblem:
    """Run the rows of all edits once: for every edit its contexts, then one essence row an edit.

    Args:
        architecture: the model.
        sites: the modules to whose outputs a δ each is added: the down-projection in ROME, a whole block in MEMIT.
        layer: blocks below this one are not run again: the block of a projection, the one above where the site is a
            whole block.
        edits: rows of each edit, the plain prompt's first.
    """
    rows = [row for edit in edits for row in edit.targets]
    edit_of_row = [number for number, edit in enumerate(edits) for _ in edit.targets]
    tokens = [(token, index) for index, row in enumerate(rows) for token in row.targets]
    weights = [1 / (len(edits[edit_of_row[index]].targets) * len(rows[index].targets)) for _, index in tokens]
    plain = [edit_of_row.index(number) for number in range(len(edits))]
    places = [row.places for row in rows] + [[edit.essence.subject] for edit in edits]
    replay = Replay(architecture, sites, layer, [*rows, *(edit.essence for edit in edits)], places)
    device = replay.values.device
    return ValueProblem(
        replay=replay,
        value0=replay.values[plain],
        hidden0=replay.hidden[plain],
        edit_of_row=torch.tensor([*edit_of_row, *range(len(edits))], device=device),
        targets=torch.tensor([token for token, _ in tokens], device=device),
        weights=torch.tensor(weights, device=device),
        edit_of_token=torch.tensor([edit_of_row[index] for _, index in tokens], device=device),
    )


def optimise_values(
    problem: ValueProblem, settings: ValueSettings, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> TargetValues:
    """δ of every edit by Adam from 0, projected after each step; an edit below the stop loss stays where it is.

    Raises:
        MethodError: the loss is not a number.
    """
    with without_gradients_of(problem.replay.model):
        return _Search(problem, settings).run(progress)


class _Search:
    """δ of all edits, and the part of the problem that still moves."""

    def __init__(self, problem: ValueProblem, settings: ValueSettings) -> None:
        self._whole = self._problem = problem
        self._settings = settings
        self._delta = torch.zeros_like(problem.value0)
        self._loss = problem.value0.new_zeros(len(problem.value0))
        self._going = torch.arange(len(problem.value0), device=problem.value0.device)
        self._moments = value_loss.Moments(torch.zeros_like(self._delta), torch.zeros_like(self._delta))
        self._weights = torch.ones_like(self._loss)

    def run(self, progress: Callable[[int, int], None]) -> TargetValues:
        steps = self._settings.steps
        for step in range(1, steps + 1):
            progress(step - 1, steps)
            if not self._step(step, last=step == steps):
                break
        return TargetValues(self._delta, self._whole.value0, self._loss, step)

    def _step(self, step: int, *, last: bool) -> bool:
        """Evaluate the loss and move what shall move; whether anything did."""
        settings, going = self._settings, self._going
        delta = self._delta[going].requires_grad_()
        with torch.enable_grad():
            losses = self._problem.losses(delta, _of(settings, going))
            total = losses.total(self._weights)
        if not bool(total.isfinite().all()):
            raise MethodError(
                f"the loss is not a finite number at step {step}", hint="use a smaller learning rate or float32 weights"
            )
        self._loss[going] = total.detach()
        moving = total >= settings.stop_loss
        if settings.sure_drift is not None:
            moving &= ~(losses.sure & (losses.drift <= settings.sure_drift))
        if last or not bool(moving.any()):
            return False
        (gradient,) = torch.autograd.grad(total.sum(), delta)
        if step == 1:
            refuse_unread(total, gradient, self._problem.value0)
        rate = settings.learning_rate
        rates = rate.to(delta)[going, None, None] if isinstance(rate, Tensor) else rate
        moved, self._moments = value_loss.adam_step(delta.detach(), gradient, self._moments, rates)
        moved = value_loss.project(moved, self._problem.value0, settings.clamp)
        self._delta[going] = torch.where(moving[:, None, None], moved, delta.detach())
        self._weights = torch.where(losses.sure, settings.sure_weight, 1.0)
        self._let_go(moving)
        return True

    def _let_go(self, moving: Bool[Tensor, " going"]) -> None:
        """Run the rows of those that have arrived no more."""
        if bool(moving.all()):
            return
        kept = moving.nonzero().squeeze(1)
        self._problem, self._going = self._problem.only(kept), self._going[kept]
        self._moments, self._weights = self._moments.only(kept), self._weights[kept]


def _of(settings: ValueSettings, going: Int[Tensor, " going"]) -> ValueSettings:
    """The settings of some edits."""
    decay = settings.weight_decay
    return replace(settings, weight_decay=decay[going]) if isinstance(decay, Tensor) else settings
