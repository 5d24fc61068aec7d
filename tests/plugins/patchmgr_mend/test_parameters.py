"""What is set, what is published, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from patchmgr_mend.parameters import MendParameters, MendTraining


def test_the_papers_values_are_presets_that_give_way_to_what_is_given():
    mend, malmen = MendTraining(preset="mend"), MendTraining(preset="malmen", edits=1000)
    assert (mend.learning_rate, mend.rate_learning_rate, mend.edit_rate) == (1e-6, 1e-4, 1e-4)
    assert (mend.accumulation, mend.clip, mend.answer_weight, mend.rank) == (10, 100, 0.1, 1920)
    assert (malmen.aggregation, malmen.learning_rate, malmen.edit_rate, malmen.clip) == ("malmen", 1e-5, 1e-6, 1)
    assert MendTraining(preset="mend", learning_rate=1e-4).learning_rate == 1e-4


def test_layers_are_given_as_a_command_line_has_them():
    assert MendTraining(layers="3-5").layers == (3, 4, 5)
    assert MendTraining().layers is None


@pytest.mark.parametrize(
    "settings", [{"aggregation": "mean"}, {"ridge": 0}, {"preset": "rome"}, {"edits": 0}, {"maps": "attention"}]
)
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(ValidationError):
        MendTraining(**settings)


def test_an_edit_does_as_its_editor_was_trained_unless_told_otherwise():
    assert MendParameters().aggregation is None
    with pytest.raises(ValidationError):
        MendParameters(ridge=-1)
