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
