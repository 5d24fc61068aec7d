"""Adding to a memory, replacing in it and taking away; the log is parsed strictly and gives the same entries again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchmgr.errors import FormatError, UsageError
from patchmgr.package.memory.operations import (
    Entry,
    Operation,
    dump_operations,
    entries_after,
    entry_id,
    operations_after,
    parse_operations,
)
from patchmgr.request import EditRequest


def request(prompt="The capital of {} is", subject="France", target="Rome", **more):
    return EditRequest(prompt=prompt, subject=subject, target_new=target, **more)


def test_a_request_becomes_an_entry_known_by_its_id_or_its_prompt():
    named, bare = request(id="fr"), request()
    assert entry_id(named) == "fr"
    assert entry_id(bare) == entry_id(request(target="Oslo")) != entry_id(request(subject="Spain"))
    (entry,) = entries_after(operations_after((), [named]))
    assert entry == Entry(id="fr", prompt="The capital of France is", target="Rome", subject="France")


def test_an_entry_is_replaced_in_its_place_and_what_is_there_already_changes_nothing():
    first = operations_after((), [request(id="a"), request(subject="Spain", id="b")])
    again = operations_after(first, [request(id="a")])
    assert again == first
    changed = operations_after(first, [request(id="a", target="Oslo")])
    assert [operation.op for operation in changed] == ["add", "add", "replace"]
    assert [(entry.id, entry.target) for entry in entries_after(changed)] == [("a", "Oslo"), ("b", "Rome")]


def test_a_prompt_under_another_id_takes_the_place_of_the_old_one():
    operations = operations_after(operations_after((), [request(id="old")]), [request(id="new", target="Oslo")])
    assert [(each.op, each.id) for each in operations] == [("add", "old"), ("tombstone", "old"), ("add", "new")]
    assert [entry.id for entry in entries_after(operations)] == ["new"]


def test_an_entry_is_forgotten_and_may_come_back():
    first = operations_after((), [request(id="a"), request(subject="Spain", id="b")])
    without = operations_after(first, [], forget=["a"])
    assert [entry.id for entry in entries_after(without)] == ["b"]
    assert [entry.id for entry in entries_after(operations_after(without, [request(id="a")]))] == ["b", "a"]
    with pytest.raises(UsageError, match="no entry 'a' to forget"):
        operations_after(without, [], forget=["a"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id":"a","op":"add","prompt":"p"}\n', "add needs prompt and target"),
        (b'{"id":"a","op":"tombstone","prompt":"p"}\n', "an id and nothing else"),
        (b'{"id":"a","op":"move"}\n', "it should be"),
        (b'{"id":"a", "op":"tombstone"}\n', "not in canonical form"),
        (b'{"id":"a","op":"tombstone"}', "not in canonical form"),
        (b"[]\n", "table of names and values"),
        (b"{\n", "Expecting property name"),
    ],
)
def test_a_malformed_line_is_named(line, reason):
    with pytest.raises(FormatError, match=f"here, line 1.*{reason}"):
        parse_operations(line, where="here")


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([Operation(op="tombstone", id="a")], "tombstone of 'a', which is not there"),
        ([Operation(op="replace", id="a", prompt="p", target="t")], "replace of 'a', which is not there"),
        ([Operation(op="add", id="a", prompt="p", target="t")] * 2, "add of 'a', which is there already"),
    ],
)
def test_operations_that_cannot_have_happened_are_refused(operations, reason):
    with pytest.raises(FormatError, match=reason):
        entries_after(operations)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.booleans()), max_size=20))
def test_any_history_can_be_written_and_read_and_leaves_what_a_dictionary_would(steps):
    operations, expected = (), {}
    for subject, target, forgets in steps:
        if forgets and subject in expected:
            operations = operations_after(operations, [], forget=[subject])
            del expected[subject]
        else:
            operations = operations_after(operations, [request(subject=f"Town {subject}", target=target, id=subject)])
            expected[subject] = target
    assert {entry.id: entry.target for entry in entries_after(operations)} == expected
    assert parse_operations(dump_operations(operations), where="here") == operations


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from("12")), max_size=12))
def test_requests_at_once_leave_what_each_by_itself_would_and_no_prompt_twice(steps):
    requests = [request(subject=f"Town {subject}", target=target, id=name) for name, subject, target in steps]
    expected = []  # one after the other, by looking at all that is there
    for each in requests:
        entry = Entry(id=each.id, prompt=each.text, target=each.target_new, subject=each.subject)
        expected = [old for old in expected if old.prompt != entry.prompt or old.id == entry.id]
        place = next((place for place, old in enumerate(expected) if old.id == entry.id), len(expected))
        expected[place : place + 1] = [entry]
    found = entries_after(operations_after((), requests))
    assert list(found) == expected
    one_by_one = ()
    for each in requests:
        one_by_one = operations_after(one_by_one, [each])
    assert one_by_one == operations_after((), requests)
    assert len({entry.prompt for entry in found}) == len(found)
