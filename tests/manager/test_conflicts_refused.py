"""`apply` refuses packages that give one fact two answers, `plan` shows them, and what was let pass is on record."""

from __future__ import annotations

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.errors import ConflictError
from patchmgr.manager.manager import Manager
from patchmgr.package.writer import seal
from patchmgr.request import EditRequest

SAID = "left@v1 says 'The capital of France is' → 'Lyon', right@v1 says 'Nice'"


def capital(target, prompt="The capital of {} is", **fields):
    return EditRequest(prompt=prompt, subject="France", target_new=target, **fields)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A base, and packages by name: left and right contradict each other, same says what left says, other is apart."""
    root = tmp_path_factory.mktemp("folders")
    base = make_checkpoint(root / "base")
    for seed, (name, request) in enumerate(
        {
            "left": capital("Lyon"),
            "right": capital("Nice"),
            "same": capital(" lyon"),
            "other": capital("Rome", "{} is"),
        }.items()
    ):
        make_package(root / name, base, name=name, seed=seed, requests=[request])
    return root


@pytest.fixture
def manager(folders):
    with Manager.open() as opened:
        opened.add_model("tiny", str(folders / "base"))
        yield opened


def test_apply_refuses_a_package_that_answers_a_fact_otherwise_and_names_both_fact_and_targets(manager, folders):
    manager.apply("tiny", [str(folders / "left")])
    with pytest.raises(ConflictError) as refused:
        manager.apply("tiny", [str(folders / "right")])
    assert SAID in refused.value.message
    assert "patchmgr revert tiny left@v1" in refused.value.hint
    assert "--allow-conflicts" in refused.value.hint
    assert manager.status("tiny")[0].generation == 1


def test_apply_refuses_two_that_come_together(manager, folders):
    with pytest.raises(ConflictError, match="leave left@v1 out or leave right@v1 out"):
        manager.apply("tiny", [str(folders / "left"), str(folders / "right")])


def test_the_same_answer_and_another_fact_are_no_conflict(manager, folders):
    outcome = manager.apply("tiny", [str(folders / name) for name in ("left", "same", "other")])
    assert outcome.stack == ("left@v1", "same@v1", "other@v1")


def test_what_was_computed_on_the_other_answer_is_applied_above_it(manager, folders, tmp_path):
    make_package(
        tmp_path / "later", folders / "base", name="later", seed=9, requests=[capital("Nice")], on=[folders / "left"]
    )
    manager.apply("tiny", [str(folders / "left")])
    assert manager.apply("tiny", [str(tmp_path / "later")]).generation == 2


def test_what_is_allowed_is_applied_and_the_event_says_so(manager, folders):
    manager.apply("tiny", [str(folders / "left")])
    manager.apply("tiny", [str(folders / "right")], allow_conflicts=True)
    event = manager.events("tiny")[-1]
    assert [thing.name for thing in event.objects if thing.kind == "conflict"] == [SAID]
    assert manager.registry.verify_events() is None
    manager.apply("tiny", [str(folders / "other")])  # what is on record is not asked again
    assert not [thing for thing in manager.events("tiny")[-1].objects if thing.kind == "conflict"]


def test_a_version_that_takes_the_place_of_another_does_not_contradict_it(manager, folders, tmp_path):
    manager.apply("tiny", [str(folders / "left")])
    make_next(folders, tmp_path / "next")
    outcome = manager.apply("tiny", [str(tmp_path / "next")])
    assert (outcome.added, outcome.removed) == (("left@v2",), ("left@v1",))


def make_next(folders, folder):
    """left@v2, with the other answer."""
    made = make_package(folder, folders / "base", name="left", seed=9, requests=[capital("Nice")])
    seal(folder, made.model_copy(update={"version": 2, "parent_version": 1, "files": {}}), [capital("Nice")], ())


def test_plan_shows_conflicts_also_of_folders_that_are_not_registered(manager, folders):
    manager.apply("tiny", [str(folders / "left")])
    assert manager.plan("tiny", [str(folders / "right")]).contradictions == (SAID,)
    assert manager.plan("tiny", [str(folders / "other")]).contradictions == ()
    assert manager.plan("tiny", ["left"], revert=True).contradictions == ()
    assert [record.name for record in manager.list_packages()] == ["left"]


def test_a_checkpoint_to_ship_is_refused_likewise(manager, folders, tmp_path):
    both = [str(folders / "left"), str(folders / "right")]
    with pytest.raises(ConflictError, match="one fact, two answers"):
        manager.write_out("tiny", both, tmp_path / "out")
    assert manager.write_out("tiny", both, tmp_path / "out", allow_conflicts=True).stack == ("left@v1", "right@v1")
