"""Blame names the package and the edit behind an answer, with what leaving it out gives; and who wrote a tensor."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from checkpoints import EDITABLE, make_package
from patchmgr.demo.edits import edit_request
from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.blame.keys import cosines, kept_keys, nearest
from patchmgr.manager.manager import Manager
from patchmgr.manager.states import open_packages, read_state
from planted import factors

QUICK = {"statistics": "identity", "steps": 25, "learning_rate": 1.0, "context_count": 0}
FRANCE = edit_request("France", "capital", "Rome")
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def edited_home(tmp_path_factory):
    """``atlas`` with ``france`` by ROME, ``mute`` without keys, and ``late``, computed on all of these.

    Not applied: ``again``, the weights of ``france`` without its keys; ``notes``, a memory of France.
    """
    home = tmp_path_factory.mktemp("edited") / "home"
    with Manager.open(home) as manager:
        base = Path(manager.add_model("atlas", "demo:atlas").base.folder)
        atlas = manager.model("atlas")
        atlas.edit("france", [FRANCE], method="rome", message="capital moved", **QUICK)
        make_package(home.parent / "mute", base, name="mute", deltas=factors(base, 0.01, 1))
        atlas.apply("france", str(home.parent / "mute"))
        atlas.edit("late", [edit_request("Peru", "capital", "Quito")], method="rome", **QUICK)
        atlas.apply("late")
        (france,) = open_packages(manager, read_state(manager, "atlas").stack[:1])
        deltas = france.deltas(manager.plugins.encodings)
        make_package(home.parent / "again", base, name="again", deltas=deltas)
        atlas.edit("notes", [FRANCE], method="retrieve-and-prepend")
    return home


@pytest.fixture
def manager(edited_home, tmp_path):
    shutil.copytree(edited_home, tmp_path / "home", symlinks=True)
    with Manager.open(tmp_path / "home") as opened:
        yield opened


def names(evidence) -> set[str]:
    return {one.manifest.name for one in evidence}


@pytest.mark.parametrize("prompt", [PROMPT, *FRANCE["rephrasings"][:1]])
def test_the_package_and_the_edit_that_answer_are_named_with_evidence(manager, prompt):
    found = manager.blame("atlas", prompt)
    (one,) = found.blamed
    assert (found.verdict, found.target, one.manifest.reference) == ("package", "Rome", "france@v1")
    assert [edit.subject for edit in one.edits] == ["France"]
    assert one.near.score > 0.9
    assert found.now.text.startswith("Rome")
    assert found.base.text.startswith("Paris") and one.without.text.startswith("Paris")
    assert one.log_p_lost(found.now) == pytest.approx(found.now.log_p - one.without.log_p)
    assert one.log_p_lost(found.now) > 2
    assert (one.changes_answer, one.n_dependants) == (True, 1)


def test_only_near_packages_and_those_without_keys_are_tried_unless_all_shall_be(manager):
    found = manager.blame("atlas", PROMPT)
    assert names(found.evidence) == {"france", "mute"}
    assert found.n_packages == 3
    every = manager.blame("atlas", PROMPT, exhaustive=True)
    assert names(every.evidence) == {"france", "mute", "late"}
    assert names(every.blamed) == {"france"}
    assert {one.manifest.name: one.near is None for one in every.evidence} == {
        "france": False, "mute": True, "late": False
    }  # fmt: skip
    lost = [abs(one.log_p_lost(every.now)) for one in every.evidence]
    assert lost == sorted(lost, reverse=True)


def test_what_is_said_without_a_package_is_what_reverting_it_gives(manager):
    (one,) = manager.blame("atlas", PROMPT).blamed
    manager.revert("atlas", ["late"])
    found = manager.blame("atlas", PROMPT)
    manager.revert("atlas", ["france"])
    said = manager.generate("atlas", PROMPT, max_new_tokens=20).text
    assert " ".join(said.split()).startswith(found.blamed[0].without.text)
    assert one.n_dependants == found.blamed[0].n_dependants + 1


def test_an_answer_of_the_base_is_said_to_be_the_base_s(manager):
    found = manager.blame("atlas", "The capital of Spain is")
    assert (found.verdict, found.blamed, found.target) == ("base", (), "Madrid")
    assert found.now.text == found.base.text
    with pytest.raises(NotFoundError, match="the base answers"):
        manager.rollback("atlas", 0)
        manager.blame("atlas", PROMPT)


def test_what_keeps_the_model_from_an_answer_is_found_too(manager):
    found = manager.blame("atlas", PROMPT, target="Paris")
    assert (found.verdict, names(found.blamed)) == ("package", {"france"})
    assert not found.now.says_target
    assert found.blamed[0].without.says_target
    assert found.blamed[0].log_p_lost(found.now) < -2


def test_a_package_that_keeps_no_keys_is_found_by_leaving_it_out(manager, edited_home):
    manager.revert("atlas", ["late", "france"])
    manager.apply("atlas", [str(edited_home.parent / "again")])
    found = manager.blame("atlas", PROMPT)
    (one,) = found.blamed
    assert (one.manifest.name, one.near, found.verdict) == ("again", None, "package")


def test_packages_that_say_the_same_are_blamed_together(manager, edited_home):
    manager.apply("atlas", [str(edited_home.parent / "again")])
    found = manager.blame("atlas", PROMPT, target="Rome")
    assert (found.verdict, names(found.blamed)) == ("together", {"france", "again"})
    assert found.now.says_target and not found.base.says_target
    assert not any(one.changes_answer for one in found.evidence)


def test_the_memory_that_claims_a_prompt_is_tried_with_the_entry_that_it_rests_on(manager):
    manager.apply("atlas", ["notes"])
    claimed = {one.manifest.name: one for one in manager.blame("atlas", PROMPT).evidence}["notes"]
    assert claimed.near.entries == (FRANCE["id"],)
    assert [edit.subject for edit in claimed.edits] == ["France"]
    assert "notes" not in names(manager.blame("atlas", "The capital of Spain is").evidence)


def test_an_empty_prompt_or_target_is_refused(manager):
    for prompt, target in ((" ", None), (PROMPT, " ")):
        with pytest.raises(UsageError, match="empty"):
            manager.blame("atlas", prompt, target=target)


def test_the_nearest_key_is_found_whatever_the_lengths_and_the_order():
    rng = np.random.default_rng(0)
    of_prompt, keys = rng.normal(size=(6, 5)), rng.normal(size=(6, 4))
    literal = [
        max(k @ p / (np.linalg.norm(k) * np.linalg.norm(p)) for p in of_prompt.T) for k in keys.T
    ]  # fmt: skip
    assert cosines(of_prompt, 7 * keys) == pytest.approx(literal)
    assert nearest({3: of_prompt}, {3: keys})[1] == int(np.argmax(literal))
    assert nearest({3: of_prompt}, {2: keys}) is None
    assert nearest({3: of_prompt}, {3: np.zeros((6, 1))}) == (0.0, 0)


def test_only_arrays_with_a_column_for_each_edit_are_taken_for_keys():
    keys = np.ones((6, 2))
    assert set(kept_keys({"keys/3": keys, "keys/x": keys, "6x4/mean": keys[0]}, 2)) == {3}
    assert kept_keys({"keys/3": keys}, 5) == {}


def test_the_writers_of_a_tensor_come_in_order_with_norms_and_since_when(stocked):
    manager, name = stocked.manager, EDITABLE[0]
    manager.apply("tiny", ["p1"])
    manager.rollback("tiny", 2)
    found = manager.blame_tensor("tiny", name)
    assert [one.manifest.reference for one in found.writers] == ["p1@v1", "p2@v1"]
    assert [one.generation for one in found.writers] == [4, 2]
    for one, package in zip(found.writers, open_packages(manager, [w.manifest for w in found.writers]), strict=True):
        delta = package.deltas(manager.plugins.encodings)[name]
        assert one.norm == pytest.approx(float(np.linalg.norm(delta.u.astype(float) @ delta.v.astype(float))))
    state = read_state(manager, "tiny")
    assert found.after_sha256 == state.generation.tensors[name] != found.before_sha256
    assert (found.dtype, found.shape) == ("BF16", (6, 9))
    assert found.base_norm > 0


def test_a_tensor_that_nobody_wrote_is_the_base_s_and_one_that_is_not_there_is_named(stocked):
    found = stocked.manager.blame_tensor("tiny", "norm.weight")
    assert (found.writers, found.after_sha256) == ((), found.before_sha256)
    with pytest.raises(NotFoundError) as error:
        stocked.manager.blame_tensor("tiny", "layers.0.down")
    assert EDITABLE[0] in str(error.value)
