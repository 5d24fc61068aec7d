"""Training an editor: the scope classifier and the counterfactual model side by side; the base enters no loss.

loss = 0.1 · NLL(counterfactual | the right entry) + 1.0 · balanced BCE(scope classifier), with Adam. The router learns
from pairs of entry and question that are known to belong together or not, and the counterfactual model is given the
right entry whatever the router says, so neither has to wait for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.durable import store_file
from patchmgr.errors import MethodError
from patchmgr.methods.checkpoints import Checkpoints
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.training import TrainedDraft, TrainingContext, TrainingData
from patchmgr.methods.training_loop import Schedule, Training
from patchmgr_memory.encoder import Encoder, encoder_folder
from patchmgr_serac import calibration, counterfactual
from patchmgr_serac.calibration import Questions, questions_of
from patchmgr_serac.drawing import Drawing, Pair, hard_negatives
from patchmgr_serac.facts import Facts, facts_of
from patchmgr_serac.networks import Networks, begin
from patchmgr_serac.parameters import SeracTraining
from patchmgr_serac.router_loss import router_loss
from patchmgr_serac.validation import validate
from patchmgr_serac.write import asked

_CLIP = 100.0
"""Longest gradient, as published."""
_CROSS_ENTRIES = 20
"""Entries that are validated with where every one is read beside every question."""


def train(model: LoadedModel, data: TrainingData, parameters: SeracTraining, context: TrainingContext) -> TrainedDraft:
    """Train until the validation data say that it gets no better; goes on where a run before was killed.

    Raises:
        MethodError: a network cannot be loaded, or the loss is not a finite number.
        RequestError: the data lack rephrasings, locality probes or requests.
        FormatError: what a run before left cannot be read.
    """
    entailed = parameters.portability_share > 0
    known = facts_of(data.training, what="the training data", entailed=entailed)
    validation = facts_of(data.validation, what="the validation data", entailed=entailed)
    entries = parameters.validation_entries
    questions = questions_of(validation, min(entries, _CROSS_ENTRIES) if parameters.router == "cross" else entries)
    device = next(model.model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(context.seed)
        networks = begin(parameters, model)
        run = _Run(networks, parameters, context, _drawing(known, parameters, context), validation, questions)
        steps = run.to_the_end()
    networks.train(False)
    best = validate(networks, validation, questions, parameters)
    files = networks.save(context.folder / "editor")
    path = context.folder / "editor" / calibration.FILE
    store_file(calibration.dump(questions, best.calibrated), path, what="the calibration")
    used = {**parameters.model_dump(mode="json"), "learning_rate": run.rates()}
    return TrainedDraft({**files, calibration.FILE: path}, used, steps, best.figures)


def _drawing(known: Facts, parameters: SeracTraining, context: TrainingContext) -> Drawing:
    sentences = Encoder.load(encoder_folder(parameters.encoder), "mean")
    hard = hard_negatives(
        known,
        sentences.encode,
        neighbours=parameters.hard_neighbours,
        skip=parameters.hard_skip,
        temperature=parameters.hard_temperature,
    )
    return Drawing(known, parameters.batch, context.seed, hard, parameters.hard_share, parameters.portability_share)


@dataclass(frozen=True, eq=False)
class _Run:
    """One training."""

    networks: Networks
    parameters: SeracTraining
    context: TrainingContext
    drawing: Drawing
    validation: Facts
    questions: Questions

    def to_the_end(self) -> int:
        """All steps that are left; each part is in its best state afterwards. Returns the later of their steps."""
        parameters = self.parameters
        optimiser = self.networks.optimiser(parameters.learning_rate)
        training = Training(self._parts(), optimiser, lambda step: self._update(step, optimiser), self._validated)
        schedule = Schedule(parameters.steps, parameters.validate_every, parameters.patience)
        return training.to_the_end(schedule, Checkpoints(self.context.folder))

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        """The networks of each part that there is."""
        parts: dict[str, dict[str, Tensor]] = {"routing": self.networks.routing()}
        return parts if self.networks.answering is None else {**parts, "answering": self.networks.answers()}

    def rates(self) -> dict[str, float]:
        """Adam's, by part."""
        groups = self.networks.optimiser(self.parameters.learning_rate).param_groups
        return {name: group["lr"] for (name, _, _), group in zip(self.networks.modules(), groups, strict=True)}

    def _update(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        """One step of Adam, on the mean of some batches; what dropout draws in it hangs on seed and step alone."""
        self.context.progress(step, self.parameters.steps, "training")
        self.networks.train(True)
        torch.manual_seed((self.context.seed << 32) + step)
        optimiser.zero_grad()
        n = self.parameters.accumulation
        for number in range(step * n, (step + 1) * n):
            loss = self._loss(self.drawing.batch(number)) / n
            if not bool(torch.isfinite(loss.detach())):
                raise MethodError(
                    f"the loss is not a finite number in step {step + 1}", hint="set a smaller learning_rate"
                )
            loss.backward()
        torch.nn.utils.clip_grad_norm_(
            [tensor for group in optimiser.param_groups for tensor in group["params"]], _CLIP
        )
        optimiser.step()

    def _loss(self, pairs: Sequence[Pair]) -> Float[Tensor, ""]:
        parameters, networks = self.parameters, self.networks
        loss = router_loss(networks, pairs, self.drawing.known, parameters.negatives) * parameters.router_weight
        if networks.answering is None:
            return loss
        right = [(asked(parameters.template, pair.fact.entry, pair.question), pair.answer) for pair in pairs]
        answered = [(prompt, answer) for prompt, answer in right if answer is not None]
        return loss + parameters.counterfactual_weight * counterfactual.loss(networks.answering, answered)

    def _validated(self, step: int) -> dict[str, tuple[float, ...]]:
        self.networks.train(False)
        found = validate(self.networks, self.validation, self.questions, self.parameters)
        self.context.report(step, found.figures)
        return {part: found.rank(part) for part in self._parts()}
