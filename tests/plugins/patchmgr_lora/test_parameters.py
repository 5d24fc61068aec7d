"""What may be set for LoRA and AdaLoRA, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from patchmgr_lora import AdaLora, Lora


@pytest.mark.parametrize(
    "setting",
    [{"rank": 0}, {"dropout": 1}, {"alpha": 0}, {"target_modules": ""}, {"target_modules": []}, {"initial_rank": 12}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        Lora.parameters(**setting)


def test_adalora_cannot_begin_with_less_than_it_ends_with():
    with pytest.raises(ValidationError, match="initial_rank 4 is below rank 8"):
        AdaLora.parameters(initial_rank=4)


def test_names_are_read_as_a_command_line_has_them():
    assert Lora.parameters(target_modules="q_proj, v_proj").target_modules == ("q_proj", "v_proj")


def test_a_preset_fills_in_what_is_not_given():
    settings = AdaLora.parameters(preset="gpt-j", steps="7")
    assert (settings.target_modules, settings.steps, settings.learning_rate) == (("fc_in", "fc_out"), 7, 5e-3)
    assert settings.stop_loss == 0
    assert settings.rank == settings.initial_rank == 12
    assert AdaLora.parameters(**settings.model_dump(mode="json")) == settings
    assert Lora.parameters(preset="gpt2-xl").rank == 8
