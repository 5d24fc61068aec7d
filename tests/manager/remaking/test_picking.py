"""Which edits are meant: by id, by place, by prompt, by text."""

from __future__ import annotations

import pytest

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.remaking.picking import find, labels, matching, pick
from patchmgr.package.memory.operations import entry_id
from patchmgr.request import EditRequest


def request(subject, prompt="{} lies in", **more):
    return EditRequest(**{"prompt": prompt, "subject": subject, "target_new": "Gaul", **more})


ROME, ROME_AGAIN = request("Rome", id="rome"), request("Rome", "The land of {} is", id="twice")
PARIS, BERN = request("Paris", relation="country"), request("Bern", id="twice", target_new="Elsewhere")
EDITS = (ROME, ROME_AGAIN, PARIS, BERN)


def test_an_edit_is_found_by_id_place_prompt_and_the_id_that_a_memory_gives_it():
    for text in ("rome", "#1", "Rome lies in"):
        assert find(EDITS, text) == 0
    for text in ("#3", "Paris lies in", entry_id(PARIS)):
        assert find(EDITS, text) == 2
    assert [find(EDITS, text) for text in ("#0", "#5", "#x", "nobody", "")] == [None] * 5


def test_an_id_goes_before_a_prompt():
    assert find((request("Rome"), request("Bern", id="Rome lies in")), "Rome lies in") == 1


def test_what_means_several_edits_is_refused_with_their_places():
    with pytest.raises(UsageError, match="'twice' means 2 edits") as refused:
        find(EDITS, "twice")
    assert "#2 twice, #4 twice" in str(refused.value)


def test_edits_are_picked_in_their_order_each_once_and_a_missing_one_is_refused():
    assert pick(EDITS, ["#4", "rome", "#1"], of="p@v1") == (0, 3)
    with pytest.raises(NotFoundError, match=r"p@v1 has no edit '#9'.*#1 rome, #2 twice, #3 'Paris lies in'"):
        pick(EDITS, ["rome", "#9"], of="p@v1")


def test_a_text_is_looked_for_in_prompt_relation_and_target_whatever_its_case():
    assert matching(EDITS, "ROME") == (0, 1)
    assert matching(EDITS, "countr") == (2,)
    assert matching(EDITS, "elsewhere") == (3,)
    assert matching(EDITS, "nothing") == ()


def test_an_edit_is_called_by_its_id_where_that_is_its_own():
    assert labels(EDITS) == ("rome", "#2", "#3", "#4")
    assert [find(EDITS, label) for label in labels(EDITS)] == [0, 1, 2, 3]
