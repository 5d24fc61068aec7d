"""Training an editor: groups of edits are made, and the networks learn from what the edited models answer.

loss = c · NLL(answers of the edits, in their own words and in others) + KL(base ‖ edited) on what is unrelated, with
Adam. The gradient that is decomposed is the base's, so it is no function of the networks: one pass forth and back gives
u and δ of a whole batch of edits, and each group then has a model of its own by the changes that hooks add to its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.checkpoints import Checkpoints
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.training import TrainedDraft, TrainingContext, TrainingData
from patchmgr.methods.training_loop import Schedule, Training
from patchmgr_finetune.equations import answer_loss
from patchmgr_keyvalue.forwards import untouched, without_gradients_of
from patchmgr_mend import files
from patchmgr_mend.asking import Base
from patchmgr_mend.drawing import Drawing, Group, check_data, whole_groups
from patchmgr_mend.equations import divergence
from patchmgr_mend.network import Networks, Site
from patchmgr_mend.parameters import MendTraining
from patchmgr_mend.sites import chosen_sites
from patchmgr_mend.validation import validate


def train(model: LoadedModel, data: TrainingData, parameters: MendTraining, context: TrainingContext) -> TrainedDraft:
    """Train until the validation data say that it gets no better; goes on where a run before was killed.

    Raises:
        MethodError: a layer cannot be edited, or the loss is not a finite number.
        RequestError: the data lack requests or anything unrelated to them, or one is too long for the model.
        FormatError: what a run before left cannot be read.
    """
    check_data(data.training, parameters.edits, what="the training data")
    check_data(data.validation, parameters.edits, what="the validation data")
    groups = whole_groups(data.validation, parameters.edits, parameters.validation_edits)
    drawing = Drawing(data.training, parameters.edits, parameters.unrelated, context.seed)
    drawing.group(0)  # raises now what would end the first step
    sites = chosen_sites(model, parameters)
    base = Base(model, find_architecture(model.model, encoder_decoder=True), sites)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        networks = Networks(
            [Site.of(site) for site in sites],
            rank=parameters.rank,
            edit_rate=parameters.edit_rate,
            ridge=parameters.ridge,
        )
    networks.to(model.model.device)
    run = _Run(base, networks, parameters, context, drawing, groups)
    with untouched(model.model), without_gradients_of(model.model):
        steps = run.to_the_end()
        figures = validate(base, networks, groups, parameters)
    kept = files.save(
        networks, context.folder / "editor", state_root=model.state_root, aggregation=parameters.aggregation
    )
    used = {**parameters.model_dump(mode="json"), "sites": [site.weight_name for site in sites]}
    return TrainedDraft(kept, used, steps, figures)


@dataclass(frozen=True, eq=False)
class _Run:
    """One training."""

    base: Base
    networks: Networks
    parameters: MendTraining
    context: TrainingContext
    drawing: Drawing
    validation: Sequence[Group]

    def to_the_end(self) -> int:
        """All steps that are left; the networks are in their best state afterwards. Returns its step."""
        parameters = self.parameters
        optimiser = self.networks.optimiser(parameters.learning_rate, parameters.rate_learning_rate)
        training = Training(
            {"networks": self.networks.tensors()},
            optimiser,
            lambda step: self._update(step, optimiser),
            self._validated,
        )
        schedule = Schedule(parameters.steps, parameters.validate_every, parameters.patience)
        return training.to_the_end(schedule, Checkpoints(self.context.folder))

    def _update(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        """One step of Adam, on the mean of some batches of groups."""
        self.context.progress(step, self.parameters.steps, "training")
        optimiser.zero_grad()
        n, size = self.parameters.accumulation, self.parameters.batch
        for number in range(step * n, (step + 1) * n):
            groups = [self.drawing.group(place) for place in range(number * size, (number + 1) * size)]
            loss = self._loss(groups) / n
            _refuse_infinite(float(loss.detach()), step + 1)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.networks.parameters()), self.parameters.clip)
        optimiser.step()

    def _loss(self, groups: Sequence[Group]) -> Float[Tensor, ""]:
        base, parameters = self.base, self.parameters
        traces = base.traces(groups)
        self.networks.count(traces)
        factors = self.networks.factors(traces, parameters.aggregation)
        asked, unrelated = base.answers(groups), base.unrelated(groups, whole=parameters.kept == "all")
        with torch.no_grad():
            before = base.logits(unrelated, None)
        batch = asked.batch
        answers = answer_loss(base.logits(asked, factors), batch.at, batch.targets, batch.weights)
        kept = divergence(before, base.logits(unrelated, factors), unrelated.batch.weights)
        return parameters.answer_weight * answers + kept

    def _validated(self, step: int) -> dict[str, tuple[float, ...]]:
        figures = validate(self.base, self.networks, self.validation, self.parameters)
        _refuse_infinite(figures["loss"], step)
        self.context.report(step, figures)
        return {"networks": (-figures["loss"],)}


def _refuse_infinite(loss: float, step: int) -> None:
    if not isfinite(loss):
        raise MethodError(f"the loss is not a finite number in step {step}", hint="set a smaller learning_rate")
