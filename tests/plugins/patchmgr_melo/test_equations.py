"""MELO's clusters and blocks against literal ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from literal_melo import dynamic_lora, replay
from patchmgr_grace.codebook import Space
from patchmgr_melo.equations import block_size, clustered, joined, new_block, parted, with_block

INIT, ROUNDING = 1.0, 1e-4
POINTS = st.tuples(*[st.integers(-8, 8).map(lambda n: n / 4)] * 2)
EDITS = st.lists(st.tuples(POINTS, st.sampled_from(["Rome", "Oslo"])), min_size=1, max_size=12)


def build(edits):
    cells, space = [], Space(INIT, ROUNDING, {})
    for name, key, label in edits:
        space.keys[name] = torch.tensor(key, dtype=torch.float64)
        cells = clustered(cells, name, label, space)
    return cells


def compared(edits):
    found, expected = build(edits), replay(edits, INIT, rounding=ROUNDING)
    assert [list(cell.members) for cell in found] == [cell["members"] for cell in expected]
    assert [cell.label for cell in found] == [cell["label"] for cell in expected]
    assert [cell.radius for cell in found] == pytest.approx([cell["radius"] for cell in expected], abs=1e-9)
    for cell, literal in zip(found, expected, strict=True):
        assert cell.key.tolist() == pytest.approx(literal["key"], abs=1e-9)
    return found


@settings(max_examples=60, deadline=None)
@given(EDITS)
def test_clusters_are_those_of_the_rules_replayed_and_no_edit_is_lost(edits):
    # A little apart from each other, so that no distance stands on a border where rounding decides.
    named = [(f"e{n}", (x + 1e-3 * n, y + 7e-4 * n * n), label) for n, ((x, y), label) in enumerate(edits)]
    found = compared(named)
    assert sorted(name for cell in found for name in cell.members) == sorted(name for name, _, _ in named)


def test_each_rule_by_hand():
    grown = compared([("a", (0.0, 0.0), "Rome"), ("b", (1.5, 0.0), "Rome"), ("far", (9.0, 0.0), "Rome")])
    assert [(cell.key.tolist(), cell.radius) for cell in grown] == [([0.75, 0.0], 1.0), ([9.0, 0.0], 1.0)]
    assert grown[0].value is None, "its block is trained on both"
    cut = compared([("a", (0.0, 0.0), "Rome"), ("b", (1.5, 0.0), "Rome"), ("c", (1.75, 0.0), "Oslo")])
    assert [cell.members for cell in cut] == [("c",), ("a",), ("b",)], "both lie outside of what is left of theirs"
    assert [cell.radius for cell in cut] == pytest.approx([0.5, 0.875 - 1e-5, 0.125 - 1e-5])


@pytest.mark.parametrize("index", [0, 2])
def test_a_row_is_answered_with_its_blocks_rows_and_columns_and_no_others(index):
    generator = torch.Generator().manual_seed(0)
    W, A, B = (torch.randn(shape, generator=generator) for shape in ((4, 6), (9, 6), (4, 9)))
    x = torch.randn(2, 6, generator=generator)
    part = slice(3 * index, 3 * index + 3)
    found = with_block(x @ W.T, x, A[part], B[:, part], 0.5)
    for row, expected in zip(x, found, strict=True):
        literal = dynamic_lora(*(each.double().tolist() for each in (W, row, A, B)), index, 3, 0.5)
        assert expected.tolist() == pytest.approx(literal, abs=1e-5)


def test_a_block_begins_with_nothing_and_is_stored_and_read_as_it_is():
    shapes = [(4, 6), (5, 7)]
    pairs = new_block(shapes, 2, torch.Generator().manual_seed(1))
    x = torch.ones(3, 6)
    assert torch.equal(with_block(x[:, :4], x, *pairs[0], 1.0), x[:, :4])
    trained = [(A, torch.full_like(B, n + 1.0)) for n, (A, B) in enumerate(pairs)]
    value = joined(trained)
    assert len(value) == block_size(shapes, 2)
    for (A, B), (a, b) in zip(trained, parted(value, shapes, 2), strict=True):
        assert torch.equal(A, a)
        assert torch.equal(B, b)


def test_half_precision_is_summed_wide_and_given_back_as_it_came():
    x = torch.ones(1, 6, dtype=torch.bfloat16)
    found = with_block(x[:, :4], x, torch.ones(2, 6), torch.ones(4, 2), 1.0)
    assert (found.dtype, found.tolist()) == (torch.bfloat16, [[13.0] * 4])
