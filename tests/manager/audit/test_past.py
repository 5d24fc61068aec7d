"""What a model was on a date, built again byte for byte; what changed between two; who carries what, since when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checkpoints import file_digests
from manager.audit.conftest import N_CHANGES, day
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError, UsageError


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


def test_who_carries_a_package_is_told_since_the_change_that_put_it_in(manager, history):
    for name in ("p1", "p2", "p3"):
        reference, spans, start = f"{name}@v1", [], None
        for number, stack in enumerate(history.stacks):
            if reference in stack and start is None:
                start = number
            elif reference not in stack and start is not None:
                spans.append((day(start), day(number)))
                start = None
        told = manager.audit.carriers(name, past=True)
        ended = [(one.since.time[:10], one.until.time[:10]) for one in told if one.until]
        assert ended == spans
        assert [one.since.time[:10] for one in told if one.until is None] == ([] if start is None else [day(start)])
        assert manager.audit.carriers(reference) == tuple(one for one in told if one.until is None)
    manager.remove_model("prod")
    assert manager.audit.carriers("p1") == manager.audit.carriers("p2") == manager.audit.carriers("p3") == ()
    with pytest.raises(NotFoundError, match="no package"):
        manager.audit.carriers("p9")


def test_a_registry_that_contradicts_its_trail_is_not_believed(manager):
    carried = next(name for name in ("p1", "p2", "p3") if manager.audit.carriers(name))
    with manager.registry.begin() as tx:
        tx.set_current("prod", 0)
        tx.commit()
    with pytest.raises(IntegrityError, match="say different things of prod"):
        manager.audit.carriers(carried)


def test_a_fact_is_traced_to_its_version_event_and_models(manager, history):
    found = manager.audit.fact("town 1")
    (fact,) = found.facts
    assert (fact.origin.version.reference, fact.request.target_new) == ("p1@v1", "Nowhere")
    assert fact.origin.event.action == "import"
    assert fact.origin.event.concerns("package", "p1@v1")
    assert fact.origin.carriers == manager.audit.carriers("p1")
    assert manager.audit.fact("p1@v1").facts == found.facts
    assert manager.audit.fact("town", limit=2).more
    with pytest.raises(NotFoundError, match="no edit holds the words"):
        manager.audit.fact("atlantis")
