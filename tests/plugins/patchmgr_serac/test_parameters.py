"""What is set, what is published, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from patchmgr_serac.parameters import SeracParameters, SeracTraining


def test_the_published_values_are_a_preset_that_gives_way_to_what_is_given():
    published = SeracTraining(preset="published")
    assert (published.learning_rate, published.accumulation, published.pooling) == (1e-5, 10, "cls")
    assert SeracTraining(preset="published", learning_rate=1e-4).learning_rate == 1e-4


def test_the_losses_weigh_as_published():
    assert (SeracTraining().counterfactual_weight, SeracTraining().router_weight) == (0.1, 1.0)
    assert (SeracTraining().hard_neighbours, SeracTraining().hard_skip) == (100, 25)
    assert (SeracTraining().hard_temperature, SeracTraining().hard_share) == (0.1, 0.5)


@pytest.mark.parametrize("template", ["{prompt} {query}", "{prompt} {target} {query} {query}", ""])
def test_a_template_without_its_marks_is_refused(template):
    with pytest.raises(ValidationError, match="must hold"):
        SeracTraining(template=template)


@pytest.mark.parametrize("threshold", [0, 1, -0.5])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ValidationError):
        SeracParameters(threshold=threshold)
