"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import patchmgr_pmet


@pytest.mark.parametrize(
    "setting", [{"layers": [-1]}, {"preset": "gpt2-xl"}, {"covariance_weight": 0}, {"sure_weight": 2}]
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        patchmgr_pmet.Pmet.parameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = patchmgr_pmet.Pmet.parameters(preset="gpt-j", steps="7")
    assert settings.layers == (3, 4, 5, 6, 7, 8)
    assert (settings.covariance_weight, settings.kl_factor, settings.steps) == (6_000, 1.0, 7)
    assert patchmgr_pmet.Pmet.parameters(**settings.model_dump(mode="json")) == settings
