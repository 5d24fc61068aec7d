"""What may be set for FT-L and FT-M, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from patchmgr_finetune import FtL, FtM


@pytest.mark.parametrize(
    "setting",
    [{"layers": [-1]}, {"preset": "gpt-4"}, {"batch": 0}, {"clamp": 0}, {"learning_rate": 0}, {"steps": 0}, {"wd": 1}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        FtL.parameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = FtM.parameters(preset="gpt2-xl", steps="7")
    assert (settings.layers, settings.batch, settings.clamp, settings.learning_rate) == ((0,), 3, 5e-4, 5e-4)
    assert settings.steps == 7
    assert FtM.parameters(**settings.model_dump(mode="json")) == settings
    assert FtM.parameters(preset="qwen2.5-7b").layers == (27,)
