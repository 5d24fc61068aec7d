"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import patchmgr_alphaedit


@pytest.mark.parametrize(
    "setting",
    [
        {"layers": [-1]},
        {"preset": "llama-2-7b"},
        {"threshold": 0},
        {"null_share": 1.5},
        {"ridge": 0},
        {"statistics": "identity"},
        {"statistics_damping": 0.1},
    ],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        patchmgr_alphaedit.AlphaEdit.parameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = patchmgr_alphaedit.AlphaEdit.parameters(preset="llama-3-8b", ridge="1")
    assert settings.layers == (4, 5, 6, 7, 8)
    assert (settings.learning_rate, settings.clamp, settings.threshold, settings.ridge) == (0.1, 0.75, 0.02, 1)
