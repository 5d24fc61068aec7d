"""GRACE's values against literal ones, and that cells do not depend on each other."""

from __future__ import annotations

import pytest
import torch

from literal_grace import trained_value
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_grace.parameters import GraceParameters
from patchmgr_grace.training import cell_means, trained_values
from patchmgr_inside.answers import answered
from patchmgr_inside.place import place_in
from patchmgr_keyvalue.forwards import kept_output

PAIRS = [("The capital of Atlantis is", "Rome"), ("Ada Lovelace wrote", "the tower"), ("Atlantis has", "Rome")]
OF_CELL = [0, 1, 0]


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.fixture(scope="module")
def place(base):
    return place_in(base.model, 1)


def values(base, place, pairs=PAIRS, of_cell=OF_CELL, seeds=(7, 8), **settings):
    parameters = GraceParameters(**{"steps": 6, "learning_rate": 0.3, **settings})
    return trained_values(place, answered(base, pairs), of_cell, parameters, seeds, lambda _done, _total: None)


@pytest.mark.parametrize(("start", "stop_loss"), [("warm", 0.0), ("cold", 0.0), ("warm", 5.5)])
def test_values_are_those_that_adam_finds_for_each_cell_by_itself(base, place, start, stop_loss):
    found = values(base, place, start=start, stop_loss=stop_loss)
    rows = answered(base, PAIRS)
    split = [(row.ids[: row.places[0] + 1], row.targets) for row in rows]
    for cell, seed in ((0, 7), (1, 8)):
        members = [pair for pair, of in zip(split, OF_CELL, strict=True) if of == cell]
        kept = []
        with kept_output(place.projection.module, kept), torch.no_grad():
            place.model(input_ids=torch.tensor([members[0][0]]))
        noise = torch.rand(place.projection.d_out, generator=torch.Generator().manual_seed(seed))
        begin = noise if start == "cold" else kept[0][0, -1]
        module = place.projection.module
        expected = trained_value(place.model, module, members, begin, steps=6, rate=0.3, stop_loss=stop_loss)
        assert torch.allclose(found[cell], expected, atol=2e-3)
        if start == "cold" or stop_loss == 0:
            assert not torch.allclose(expected, begin, atol=0.1), "something was learned"


def test_a_cold_start_does_not_depend_on_other_cells(base, place):
    alone = values(base, place, PAIRS[1:2], [0], (8,), start="cold", steps=2)
    beside = values(base, place, start="cold", steps=2)
    assert torch.allclose(alone[0], beside[1], atol=1e-3)


def test_a_cells_loss_is_the_mean_of_its_rows():
    found = cell_means(torch.tensor([1.0, 2.0, 5.0, 4.0]), torch.tensor([0, 2, 2, 1]), 3)
    assert found.tolist() == [1.0, 4.0, 3.5]
