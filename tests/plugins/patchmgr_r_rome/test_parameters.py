"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import patchmgr_r_rome


@pytest.mark.parametrize(
    "setting",
    [{"layer": -1}, {"keys": "both"}, {"steps": 0}, {"learning_rate": 0}, {"clamp": 0}, {"preset": "mistral-7b"}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        patchmgr_r_rome.RRome.parameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = patchmgr_r_rome.RRome.parameters(preset="qwen2.5-7b")
    assert (settings.layer, settings.steps, settings.weight_decay, settings.keys) == (5, 25, 1e-3, "consistent")
