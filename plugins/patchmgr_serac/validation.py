"""How an editor does on the validation data: as a memory of its prompts, asked everything that is known about them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from patchmgr_serac import counterfactual
from patchmgr_serac.calibration import Calibrated, Questions, calibrate
from patchmgr_serac.equations import balanced_accuracy, rank_share
from patchmgr_serac.facts import Fact, Facts
from patchmgr_serac.lookup import Lookup
from patchmgr_serac.networks import Networks
from patchmgr_serac.parameters import SeracTraining
from patchmgr_serac.write import asked


@dataclass(frozen=True)
class Validated:
    """Figures by name, and the threshold that they belong to."""

    figures: dict[str, float]
    calibrated: Calibrated

    def rank(self, part: str) -> tuple[float, float]:
        """How good ``routing`` or ``answering`` is, the larger the better; no weight is in both: each has its best."""
        if part == "routing":
            return self.figures["balanced_accuracy"], self.figures["auc"]
        return self.figures.get("es", 0.0), 0.0


def lookup_of(networks: Networks, questions: Questions, candidates: int) -> Lookup:
    """The entries of the questions as a memory."""
    encoder = networks.encoder
    keys = None if encoder is None else encoder.vectors(encoder.reading.entries(questions.entries))
    return Lookup(questions.entries, encoder, keys, networks.cross, candidates)


def validate(networks: Networks, known: Facts, questions: Questions, parameters: SeracTraining) -> Validated:
    """Figures of networks in evaluation mode.

    ``balanced_accuracy``, ``found`` (share in scope that goes to its own entry) and ``false_positive_rate`` (bounds DD)
    are those at the calibrated threshold, ``…_at_half`` at 0.5; ``es`` is the share of questions in scope that the
    counterfactual model answers whole, given the right entry.
    """
    lookup = lookup_of(networks, questions, parameters.candidates)
    calibrated = calibrate(lookup, questions)
    inside, outside = lookup.ranked(questions.inside), lookup.ranked(questions.outside)
    p_in, p_out = inside.probabilities[:, 0], outside.probabilities[:, 0]
    threshold = calibrated.threshold
    own = _goes_home(known, questions, inside.places[:, 0].tolist())
    figures = {
        "auc": rank_share(p_in, p_out),
        "balanced_accuracy": balanced_accuracy(p_in, p_out, threshold),
        "balanced_accuracy_at_half": balanced_accuracy(p_in, p_out, 0.5),
        "false_positive_rate": float((p_out > threshold).double().mean()),
        "found": float(((p_in > threshold) & own).double().mean()),
        "threshold": threshold,
    }
    same = _about_same_subject(known, questions)
    if bool(same.any()):
        figures["same_subject_left_alone"] = float((p_out[same] <= threshold).double().mean())
    if networks.answering is not None:
        figures["es"] = _answered(networks, known, questions, parameters)
    return Validated(figures, calibrated)


def _chosen(known: Facts, questions: Questions) -> list[Fact]:
    """The facts that are the entries of the memory."""
    first = {fact.entry: fact for fact in reversed(known.facts)}
    return [first[entry] for entry in questions.entries]


def _answered(networks: Networks, known: Facts, questions: Questions, parameters: SeracTraining) -> float:
    assert networks.answering is not None
    wanted = [
        (asked(parameters.template, fact.entry, question), answer)
        for fact in _chosen(known, questions)
        for question, answer in fact.inside
    ]
    return float(counterfactual.answers_right(networks.answering, wanted).double().mean())


def _goes_home(known: Facts, questions: Questions, places: list[int]) -> Bool[Tensor, " inside"]:
    """Whether each question in scope is nearest an entry whose scope it lies in."""
    return torch.tensor(
        [
            question in known.scope[questions.entries[place][0]]
            for question, place in zip(questions.inside, places, strict=True)
        ]
    )


def _about_same_subject(known: Facts, questions: Questions) -> Bool[Tensor, " outside"]:
    """Which questions outside ask something else about the subject of an entry."""
    about = {question for fact in _chosen(known, questions) for question in fact.same_subject}
    return torch.tensor([question in about for question in questions.outside])
