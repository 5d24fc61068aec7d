"""What may be set for the method, what is refused, and which maps are edited."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr_ultraedit.parameters import UltraEditParameters
from patchmgr_ultraedit.sites import chosen_sites
from tiny_models import ARCHITECTURES, HIDDEN, INNER, tiny_model


@pytest.mark.parametrize(
    "setting",
    [{"ridge": 0}, {"learning_rate": 0}, {"step_share": 0}, {"tokens": "none"}, {"batch": 0}, {"up_layers": [-1]}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError):
        UltraEditParameters(**setting)


def test_a_preset_fills_in_what_is_not_given():
    settings = UltraEditParameters(preset="llama-3-8b", ridge="7")
    assert (settings.gate_layers, settings.up_layers, settings.down_layers) == (
        (11, 12, 13, 14, 15),
        (18, 19, 20, 21, 22, 23, 24),
        (),
    )
    assert (settings.learning_rate, settings.ridge) == (1e-6, 7)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_first_projection_of_every_architecture_is_found(name):
    (site,) = chosen_sites(find_architecture(tiny_model(name)), UltraEditParameters(up_layers="1"))
    assert site.d_in == HIDDEN
    assert site.d_out == (2 * INNER if name == "phi3" else INNER)
    assert "gate" not in site.name or name == "phi3"


def test_maps_are_edited_from_the_bottom_up():
    sites = chosen_sites(
        find_architecture(tiny_model("llama")), UltraEditParameters(down_layers="0", gate_layers="1,0", up_layers="1")
    )
    assert [site.name.removeprefix("model.layers.") for site in sites] == [
        "0.mlp.gate_proj",
        "0.mlp.down_proj",
        "1.mlp.gate_proj",
        "1.mlp.up_proj",
    ]


def test_a_fused_gate_is_one_map():
    sites = chosen_sites(find_architecture(tiny_model("phi3")), UltraEditParameters(gate_layers="1", up_layers="1"))
    assert [site.name for site in sites] == ["model.layers.1.mlp.gate_up_proj"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"gate_layers": "1"}, "block 1 has 0 maps that could be its gate"),
        ({"down_layers": "3"}, "layer 3 is out of range"),
        ({"down_layers": "1,1"}, "name a block twice"),
    ],
)
def test_sites_that_cannot_be_are_refused(setting, message):
    with pytest.raises(MethodError, match=message):
        chosen_sites(find_architecture(tiny_model("gpt2")), UltraEditParameters(**setting))
