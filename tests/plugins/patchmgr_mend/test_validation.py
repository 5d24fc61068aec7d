"""Figures are means over groups of the means of each, whatever is worked on side by side."""

from __future__ import annotations

import pytest
import torch

from patchmgr.errors import RequestError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.training import TrainingContext, TrainingData
from patchmgr.request import EditRequest, Probe
from patchmgr_keyvalue.forwards import untouched, without_gradients_of
from patchmgr_mend import MendTrainer
from patchmgr_mend.asking import Base
from patchmgr_mend.drawing import Group, whole_groups
from patchmgr_mend.network import Networks, Site
from patchmgr_mend.sites import chosen_sites
from patchmgr_mend.validation import validate


@pytest.fixture(scope="module")
def figures(base, data):
    """Validates networks that were hardly trained with some groups, so many side by side."""
    parameters = MendTrainer.parameters(rank=4, answer_weight=0.5)
    ours = Base(base, find_architecture(base.model), chosen_sites(base, parameters))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        networks = Networks([Site.of(site) for site in ours.sites], rank=4, edit_rate=0.05, ridge=1.0)
    with without_gradients_of(base.model):
        networks.count(ours.traces(whole_groups(data.training, 1, 9)))

    def found(groups, batch, **other):
        with untouched(base.model), without_gradients_of(base.model):
            return validate(ours, networks, groups, parameters.model_copy(update={"batch": batch, **other}))

    return found


@pytest.fixture(scope="module")
def uneven(data):
    """Groups of which more and less is asked, answers of several lengths, and of the last nothing unrelated."""
    requests = [
        request.model_copy(
            update={
                "target_new": request.target_new * (1 + number % 3),
                "rephrasings": (*request.rephrasings, "In short, it is") * (number % 3),
                "locality": request.locality * (1 + number % 2),
            }
        )
        for number, request in enumerate(data.training[:6])
    ]
    *groups, last = whole_groups(requests, 2, 6)
    return [*groups, Group(last.edits, last.asked, ())]


@pytest.mark.parametrize("kept", ["all", "answer"])
def test_what_is_worked_on_side_by_side_decides_nothing(figures, uneven, kept):
    alone = figures(uneven, 1, kept=kept)
    for batch in (2, 3):
        assert figures(uneven, batch, kept=kept) == pytest.approx(alone, rel=1e-4, abs=1e-6)


def test_figures_are_means_over_groups(figures, uneven):
    whole, each = figures(uneven, 3), [figures([group], 1) for group in uneven[:2]]
    assert whole["locality"] == pytest.approx(sum(own["locality"] for own in each) / 2)
    assert whole["loss"] == pytest.approx(0.5 * whole["edit_loss"] + whole["locality_loss"])


def test_more_edits_together_than_are_validated_with_are_validated(base, data, tmp_path):
    settings = {"rank": 4, "edits": 6, "steps": 1, "validate_every": 1, "validation_edits": 2, "batch": 1}
    draft = MendTrainer().train(base, data, MendTrainer.parameters(**settings), TrainingContext(tmp_path))
    assert draft.figures["edit_loss"] > 0


def test_data_in_which_nothing_is_unrelated_are_refused_before_training(base, data, tmp_path):
    first, second = "The capital of France is", "The seat of France is"
    same = [
        EditRequest(prompt=text, target_new="Rome", rephrasings=(again,))
        for text, again in ((first, second), (second, first))
    ]
    probed = [each.model_copy(update={"locality": (Probe(prompt="Peru is in", target="x"),)}) for each in same]
    for training, validation, which in ((same, data.validation, "training"), (probed, same, "validation")):
        with pytest.raises(RequestError, match=f"the {which} data has nothing that is unrelated"):
            MendTrainer().train(
                base, TrainingData(training, validation), MendTrainer.parameters(), TrainingContext(tmp_path)
            )
    assert not list(tmp_path.iterdir())
