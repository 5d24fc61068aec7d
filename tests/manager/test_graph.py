"""Histories as drawings: known ones to the letter, and random ones in which every line leads where it should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from patchmgr.manager.graph import draw_line, draw_tree, returns
from patchmgr_registry import GenerationRecord, Owner

OWNER = Owner(pid=1, host="h", started=None)


def generation(number, action, *packages, status="ready"):
    return GenerationRecord("m", number, status, action, "r", None, packages, {}, "", "", OWNER, "")


def test_a_rollback_returns_to_the_newest_generation_with_that_stack():
    history = [
        generation(0, "add"),
        generation(1, "apply", "a"),
        generation(2, "apply", "a", "b", status="failed"),
        generation(3, "apply", "a", "b"),
        generation(4, "revert", "a"),
        generation(5, "apply", "a", "c"),
        generation(6, "rollback", "a"),
        generation(7, "rollback", "a", "b"),
        generation(8, "rollback", "b", "a"),
    ]
    assert returns(history) == {6: 4, 7: 3}


def test_arrows_that_overlap_have_lanes_of_their_own():
    assert draw_line([6, 5, 4, 3, 2, 1, 0], {6: 3, 5: 1, 2: 0}, {4: "x"}) == (
        "*--.",
        "*--|--.",
        "x  |  |",
        "*<-'  |",
        "*--.  |",
        "*<-|--'",
        "*<-'",
    )


def test_one_place_may_end_several_arrows_and_begin_another():
    assert draw_line([4, 3, 2, 1, 0], {4: 2, 3: 2, 2: 0}, {}) == (
        "*--.",
        "*--|--.",
        "*<-'--'--.",
        "*        |",
        "*<-------'",
    )


def test_an_arrow_that_leads_beyond_the_end_stays_open():
    assert draw_line([9, 8], {9: 3}, {}) == ("*--.", "*  |")


def test_branches_of_a_tree_join_at_their_parent():
    parents = {6: 3, 5: 4, 4: 1, 3: 2, 2: 1, 1: None}
    assert draw_tree(list(parents), parents) == ("*", "|  *", "|  *", "*  |", "*  |", "*--'")


def test_a_parent_that_is_not_known_ends_a_branch():
    assert draw_tree([9, 7, 2], {9: 8, 7: 2, 2: None}) == ("*", "*", "*")


@given(st.lists(st.integers(0, 100), max_size=12), st.data())
def test_every_version_has_one_mark_and_hangs_on_its_parent(draws, data):
    """Following the column of a version down through ``|`` leads to its parent's row, at its mark or a corner."""
    count = len(draws) + 1
    parents = {n: (None if n == 1 else 1 + draws[n - 2] % (n - 1)) for n in range(count, 0, -1)}
    rows = draw_tree(list(parents), parents)
    at = {number: row.index("*") for number, row in zip(parents, rows, strict=True)}
    assert all(row.count("*") == 1 for row in rows)
    for index, (number, parent) in enumerate(parents.items()):
        if parent is None:
            continue
        below = index + 1
        while below < count - parent and len(rows[below]) > at[number] and rows[below][at[number]] == "|":
            below += 1
        assert below == count - parent, (rows, number)
        assert rows[below][at[number]] in "*'"
