"""GRACE's rules against a literal replay of its algorithm, and what forgetting must come to."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from literal_grace import claims, replay
from patchmgr_grace.codebook import Cell, forgotten, looked_up, remembered, rule_for

INIT = 1.0
POINTS = st.tuples(*[st.integers(-12, 12).map(lambda n: n / 4)] * 2)
EDITS = st.lists(st.tuples(POINTS, st.sampled_from(["Rome", "Oslo"])), min_size=1, max_size=12)


def build(edits):
    cells = []
    for name, key, label in edits:
        cells = remembered(cells, torch.tensor(key, dtype=torch.float32), label, name, INIT)
    return cells


def named(edits):
    return [(f"e{number}", key, label) for number, (key, label) in enumerate(edits)]


@settings(max_examples=60, deadline=None)
@given(EDITS)
def test_the_rules_are_those_of_the_algorithm_replayed(edits):
    found, expected = build(named(edits)), replay(named(edits), INIT)
    assert [list(cell.members) for cell in found] == [cell["members"] for cell in expected]
    assert [cell.label for cell in found] == [cell["label"] for cell in expected]
    assert [cell.radius for cell in found] == pytest.approx([cell["radius"] for cell in expected], abs=1e-9)
    assert [cell.key.tolist() for cell in found] == [list(cell["key"]) for cell in expected]


@settings(max_examples=40, deadline=None)
@given(EDITS, POINTS)
def test_looking_up_finds_what_the_replayed_codebook_claims(edits, query):
    cells, literal = build(named(edits)), replay(named(edits), INIT)
    apart, nearest = looked_up(torch.tensor([query]), torch.stack([cell.key for cell in cells]))
    number = int(nearest[0])
    found = number if float(apart[0]) <= cells[number].radius else None
    assert found == claims(literal, query)


def test_each_rule_by_hand():
    cells = build([("a", (0.0, 0.0), "Rome"), ("b", (5.0, 0.0), "Rome")])
    assert [cell.radius for cell in cells] == [1.0, 1.0], "far from all keys: a cell of its own"
    grown = remembered(cells, torch.tensor([1.5, 0.0]), "Rome", "c", INIT)
    assert (grown[0].members, grown[0].radius) == (("a", "c"), 1.5)
    assert grown[0].value is None, "it is trained for both"
    parted = remembered(cells, torch.tensor([1.5, 0.0]), "Oslo", "c", INIT)
    assert [cell.radius for cell in parted] == pytest.approx([0.75 - 1e-5, 1.0, 0.75])
    assert rule_for(2.0, 1.0, 1.0, same=False) == "split", "on the border the balls touch"


@settings(max_examples=50, deadline=None)
@given(EDITS, st.data())
def test_a_forgotten_prompt_lies_in_no_ball_and_the_others_stay_in_theirs(edits, data):
    edits = [edit for place, edit in enumerate(edits) if edit[0] not in [key for key, _ in edits[:place]]]
    cells = [Cell(c.key, c.radius, c.label, c.members, torch.zeros(2)) for c in build(named(edits))]
    keys = {name: torch.tensor(key) for name, key, _ in named(edits)}
    gone = data.draw(st.sampled_from(sorted(keys)))
    left = forgotten(cells, gone, keys, INIT)
    assert all(gone not in cell.members for cell in left)
    assert sorted(name for cell in left for name in cell.members) == sorted(set(keys) - {gone})
    assert all(float((cell.key - keys[gone]).norm()) > cell.radius for cell in left)
    for cell in left:
        if len(cell.members) == 1:
            assert float((cell.key - keys[cell.members[0]]).norm()) <= max(cell.radius, 0)
    assert all(cell.value is not None for cell in left), "nothing is trained anew"
