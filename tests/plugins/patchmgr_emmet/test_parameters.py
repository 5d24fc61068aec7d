"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import patchmgr_emmet


@pytest.mark.parametrize(
    "setting",
    [{"layer": -1}, {"preset": "llama-3-8b"}, {"slack": -1}, {"covariance_weight": 0}, {"layers": "1"}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        patchmgr_emmet.Emmet.parameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = patchmgr_emmet.Emmet.parameters(preset="gpt2-xl", slack="0.2")
    assert (settings.layer, settings.covariance_weight, settings.clamp, settings.slack) == (17, 10_000, 0.75, 0.2)
