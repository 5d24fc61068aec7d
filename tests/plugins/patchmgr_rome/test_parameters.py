"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import patchmgr_rome


@pytest.mark.parametrize(
    "setting",
    [{"layer": -1}, {"keys": "both"}, {"steps": 0}, {"learning_rate": 0}, {"clamp": 0}, {"context_lengths": [0]}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        patchmgr_rome.Rome.parameters(**setting)


@pytest.mark.parametrize(
    ("preset", "published"),
    [("gpt2-xl", (17, 20, 0.5)), ("gpt-j", (5, 20, 0.5)), ("llama-3-8b", (5, 25, 1e-3)), ("mistral-7b", (5, 25, 1e-3))],
)
def test_a_preset_fills_in_what_is_not_given(preset, published):
    settings = patchmgr_rome.Rome.parameters(preset=preset, learning_rate="0.1")
    assert (settings.layer, settings.steps, settings.weight_decay) == published
    assert (settings.learning_rate, settings.statistics) == (0.1, "covariance")
