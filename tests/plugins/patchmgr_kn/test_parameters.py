"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from patchmgr_kn.parameters import KnParameters


@pytest.mark.parametrize(
    "setting",
    [
        {"steps": 0},
        {"threshold": 1},
        {"share": 1},
        {"batch": 0},
        {"preset": "gpt-4"},
        {"old_weight": -1},
        {"weight_share": 0},
    ],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        KnParameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = KnParameters(preset="gpt-j", steps="7")
    assert (settings.steps, settings.threshold, settings.share) == (7, 0.1, 0.4)
    llama = KnParameters(preset="llama-3-8b", old_weight=1)
    assert (llama.steps, llama.new_weight, llama.old_weight) == (1, 2, 1)
