"""What may be set for the method, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import patchmgr_memit


@pytest.mark.parametrize(
    "setting",
    [{"layers": [-1]}, {"layers": "one"}, {"preset": "gpt-4"}, {"covariance_weight": 0}, {"batch": 0}, {"clamp": 0}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        patchmgr_memit.Memit.parameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = patchmgr_memit.Memit.parameters(preset="gpt-j", steps="7")
    assert settings.layers == (3, 4, 5, 6, 7, 8)
    assert (settings.covariance_weight, settings.learning_rate, settings.steps) == (15_000, 0.5, 7)
    assert patchmgr_memit.Memit.parameters(**settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(("text", "layers"), [("4-8", (4, 5, 6, 7, 8)), ("0, 2", (0, 2)), ("1", (1,))])
def test_layers_are_read_as_a_command_line_has_them(text, layers):
    assert patchmgr_memit.Memit.parameters(layers=text).layers == layers
