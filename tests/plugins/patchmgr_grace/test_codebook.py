"""GRACE's rules against a literal replay of its algorithm, and what forgetting must come to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from literal_grace import claims, replay
from patchmgr_grace.codebook import CellKeys, Space, forgotten, looked_up, remembered, rule_for

INIT = 1.0
POINTS = st.tuples(*[st.integers(-12, 12).map(lambda n: n / 4)] * 2)
EDITS = st.lists(st.tuples(POINTS, st.sampled_from(["Rome", "Oslo"])), min_size=1, max_size=12)


def build(edits, rounding=0.0):
    return built(edits, rounding)[0]


def built(edits, rounding=0.0):
    cells, space = [], Space(INIT, rounding, {})
    for name, key, label in edits:
        space.keys[name] = torch.tensor(key, dtype=torch.float32)
        cells = remembered(cells, name, label, space)
    return cells, space


def named(edits):
    return [(f"e{number}", key, label) for number, (key, label) in enumerate(edits)]


@settings(max_examples=60, deadline=None)
@given(EDITS, st.sampled_from([0.0, 1e-3]))
def test_the_rules_are_those_of_the_algorithm_replayed_and_no_edit_is_lost(edits, rounding):
    found, expected = build(named(edits), rounding), replay(named(edits), INIT, rounding=rounding)
    assert [list(cell.members) for cell in found] == [cell["members"] for cell in expected]
    assert [cell.label for cell in found] == [cell["label"] for cell in expected]
    assert [cell.radius for cell in found] == pytest.approx([cell["radius"] for cell in expected], abs=1e-9)
    assert [cell.key.tolist() for cell in found] == [list(cell["key"]) for cell in expected]
    assert sorted(name for cell in found for name in cell.members) == sorted(name for name, _, _ in named(edits))


@settings(max_examples=40, deadline=None)
@given(EDITS, POINTS)
def test_looking_up_finds_what_the_replayed_codebook_claims(edits, query):
    cells, literal = build(named(edits)), replay(named(edits), INIT)
    apart, nearest = looked_up(torch.tensor([query]), torch.stack([cell.key for cell in cells]))
    number = int(nearest[0])
    found = number if float(apart[0]) <= cells[number].radius else None
    assert found == claims(literal, query)


@pytest.mark.parametrize("away", [0.0, 1e3, 1e6])
def test_of_keys_that_are_equal_or_nearly_so_the_nearest_is_told_and_of_equal_ones_the_first(away):
    close = torch.tensor([[3.0, 0.0], [1.0, 1e-9], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    apart, nearest = looked_up(torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64) + away, close + away)
    exact = [
        [math.dist((close[n] + away).tolist(), (x + away, y + away)) for n in range(4)] for x, y in ((1, 0), (1, 1))
    ]
    assert nearest.tolist() == [row.index(min(row)) for row in exact]
    assert apart.tolist() == pytest.approx([min(row) for row in exact], abs=0, rel=1e-12)


def test_each_rule_by_hand():
    two = [("a", (0.0, 0.0), "Rome"), ("b", (5.0, 0.0), "Rome")]
    assert [cell.radius for cell in build(two)] == [1.0, 1.0], "far from all keys: a cell of its own"
    grown = build([*two, ("c", (1.5, 0.0), "Rome")], rounding=0.01)
    assert (grown[0].members, grown[0].radius) == (("a", "c"), pytest.approx(1.515))
    assert grown[0].value is None, "it is trained for both"
    parted = build([*two, ("c", (1.5, 0.0), "Oslo")])
    assert [cell.radius for cell in parted] == pytest.approx([0.75 - 1e-5, 1.0, 0.75])
    assert rule_for(2.0, 1.0, 1.0, same=False) == "split", "on the border the balls touch"


def test_who_is_left_outside_by_a_split_keeps_its_value_in_a_ball_of_its_own():
    cells, space = built([("a", (0.0, 0.0), "Rome"), ("b", (1.0, 0.0), "Rome")])
    cells = [replace(cell, value=torch.ones(2)) for cell in cells]
    space.keys["c"] = torch.tensor([0.0, 1.5])
    found = remembered(cells, "c", "Oslo", space)
    assert [cell.members for cell in found] == [("a",), ("c",), ("b",)]
    assert [cell.label for cell in found] == ["Rome", "Oslo", "Rome"]
    assert [cell.value is None for cell in found] == [False, True, False], "only what is new is trained"
    assert found[2].radius == pytest.approx(math.hypot(1, 1.5) / 2 - 1e-5)


def test_cells_are_measured_as_they_are_now_whatever_came_and_went():
    keys, cells = CellKeys(), build(named([((n / 4, 0.0), "ab"[n % 2]) for n in range(12)]))
    for some in (cells[:2], cells, cells[3:], [*cells[5:], *cells[:2]], cells):
        assert keys.of(some).tolist() == [cell.key.tolist() for cell in some]


@settings(max_examples=50, deadline=None)
@given(EDITS, st.data())
def test_a_forgotten_prompt_lies_in_no_ball_and_the_others_stay_in_theirs(edits, data):
    edits = [edit for place, edit in enumerate(edits) if edit[0] not in [key for key, _ in edits[:place]]]
    cells, space = built(named(edits), rounding=1e-3)
    cells, keys = [replace(cell, value=torch.zeros(2)) for cell in cells], space.keys
    gone = data.draw(st.sampled_from(sorted(keys)))
    left = forgotten(cells, gone, space)
    assert all(gone not in cell.members for cell in left)
    assert sorted(name for cell in left for name in cell.members) == sorted(set(keys) - {gone})
    assert all(float((cell.key - keys[gone]).norm()) > cell.radius for cell in left)
    for cell in left:
        if len(cell.members) == 1:
            assert float((cell.key - keys[cell.members[0]]).norm()) <= max(cell.radius, 0)
    assert all(cell.value is not None for cell in left), "nothing is trained anew"


def test_a_ball_that_a_forgotten_key_lies_just_outside_of_is_cut_too():
    cells, space = built([("a", (0.0, 0.0), "Rome")], rounding=1e-3)
    space.keys["gone"] = torch.tensor([1.0005, 0.0])
    (left,) = forgotten(cells, "gone", space)
    assert left.radius == pytest.approx(0.50025 - 1e-5)
