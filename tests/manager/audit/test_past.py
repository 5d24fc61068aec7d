"""What a model was on a date, built again byte for byte; what changed between two; who carries what, since when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checkpoints import file_digests, make_checkpoint, make_package
from manager.audit.conftest import N_CHANGES, day
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr_registry import transaction


def test_the_state_of_every_past_date_is_rebuilt_byte_for_byte(manager, history, tmp_path):
    for number in range(N_CHANGES + 1):
        past = manager.audit.at("prod", day(number))
        assert past.state_root == history.roots[number]
        assert tuple(thing.name for thing in past.stack) == history.stacks[number]
        assert (past.until is None) == (number == N_CHANGES)
        if number % 4 == 1 or number in (0, N_CHANGES):
            done = manager.audit.rebuild(past, tmp_path / str(number))
            assert done.state_root == history.roots[number]
            assert file_digests(done.folder) == history.files[number]
    assert manager.events()[-1].action == "write-out"


def test_a_removed_model_is_rebuilt_from_the_trail(manager, history, tmp_path):
    manager.remove_model("prod")
    past = manager.audit.at("prod", day(5))
    assert file_digests(manager.audit.rebuild(past, tmp_path / "then").folder) == history.files[5]
    with pytest.raises(NotFoundError, match="it had been removed"):
        manager.audit.at("prod", "2900-01-01")


def test_moments_within_a_day_count(manager, history):
    assert manager.audit.at("prod", f"{day(3)}T11:59").state_root == history.roots[2]
    assert manager.audit.at("prod", f"{day(3)}T12:00").state_root == history.roots[3]
    assert manager.audit.at("prod", f"{day(3)}T13:00+01:00").state_root == history.roots[3]
    assert manager.audit.at("prod", f"{day(3)}T12:59+01:00").state_root == history.roots[2]


def test_a_clock_that_was_set_back_breaks_nothing(tmp_path, monkeypatch):
    """The order of the chain counts: the last event that is not later than the moment."""
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "p", base, name="p")

    def at(text):
        monkeypatch.setattr(transaction, "timestamp", lambda *_: f"2026-03-{text}T00:00:00.000000Z")

    with Manager.open(tmp_path / "home") as manager:
        at("05")
        manager.add_model("tiny", str(base))
        at("03")
        manager.apply("tiny", [str(tmp_path / "p")])
        at("07")
        manager.revert("tiny", ["p"])
        for day_of_month, generation, until in (("03", 1, 2), ("04", 1, 2), ("06", 1, 2), ("07", 2, None)):
            past = manager.audit.at("tiny", f"2026-03-{day_of_month}")
            ended = None if past.until is None else int(past.until.of_kind("generation")[0].name)
            assert (past.generation, ended) == (generation, until), day_of_month
        with pytest.raises(NotFoundError, match="it was added at 2026-03-05"):
            manager.audit.at("tiny", "2026-03-02")
        (change,) = manager.audit.changes(until="2026-03-04").models
        assert (change.before, [thing.name for thing in change.added]) == (None, ["p@v1"])
        (change,) = manager.audit.changes(since="2026-03-04").models
        assert [thing.name for thing in change.removed] == ["p@v1"]
        assert manager.audit.changes(since="2026-03-04", until="2026-03-06").models == ()


def test_what_cannot_be_asked_is_refused(manager, tmp_path):
    with pytest.raises(NotFoundError, match="it was added at"):
        manager.audit.at("prod", "2020-01-01")
    with pytest.raises(NotFoundError, match="nobody"):
        manager.audit.at("nobody", day(1))
    with pytest.raises(UsageError, match="is no date"):
        manager.audit.at("prod", "yesterday")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(ConflictError, match="is there already"):
        manager.audit.rebuild(manager.audit.at("prod", day(1)), tmp_path / "full")


def test_a_state_that_comes_out_as_another_is_not_left_there(manager, tmp_path):
    past = replace(manager.audit.at("prod", day(1)), state_root="0" * 64)
    with pytest.raises(IntegrityError, match="comes out as"):
        manager.audit.rebuild(past, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_changes_between_two_dates_are_those_of_the_stacks(manager, history):
    for first, last in ((1, 1), (2, 9), (5, 6), (1, N_CHANGES)):
        found = manager.audit.changes(since=day(first), until=day(last))
        before, after = history.stacks[first - 1], history.stacks[last]
        if history.roots[first - 1] == history.roots[last]:
            assert found.models == ()
            continue
        (change,) = found.models
        assert {thing.name for thing in change.added} == set(after) - set(before)
        assert {thing.name for thing in change.removed} == set(before) - set(after)
        events = [event for page in found.events for event in page if event.action in ("apply", "revert", "rollback")]
        assert len(events) == last - first + 1
    assert manager.audit.changes(until="2020-01-01").models == ()
    with pytest.raises(UsageError, match="comes before"):
        manager.audit.changes(since=day(9), until=day(2))
