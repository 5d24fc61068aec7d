"""Reverting single edits, and packages that others were computed on."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from checkpoints import file_digests
from column_writer import Write
from manager.remaking.facts import AS_IT_WAS, bytes_of, facts, last_event, manifest, named, stack, texts
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr.manager.remaking.source import Wishes
from patchmgr.methods.loader import load_plugins


@pytest.fixture
def fix(tiny):
    requests = [*facts("France", id="fr"), *facts("Spain", "Atlantis")]
    return tiny.edit("fix", requests, method="write", seed=7, size=0.25).version


@pytest.fixture(scope="module")
def piled_home(tmp_path_factory, tiny_base):
    """``a``, ``b`` on it, ``c`` on both; ``d`` beside them."""
    home = tmp_path_factory.mktemp("piled")
    with Manager.open(home) as manager:
        manager.__dict__["plugins"] = replace(load_plugins(), methods={"write": Write()})
        manager.add_model("tiny", str(tiny_base))
        tiny = manager.model("tiny")
        for name, place in (("a", "France"), ("b", "Spain"), ("c", "Rome"), ("d", "Bern")):
            tiny.edit(name, facts(place), method="write", on="base" if name == "d" else "current")
            tiny.apply(name)
    return home


@pytest.fixture
def piled(home, piled_home, write):
    """A copy of that home, opened."""
    shutil.copytree(piled_home, home, dirs_exist_ok=True, symlinks=True)
    with Manager.open() as manager:
        manager.__dict__["plugins"] = replace(load_plugins(), methods={"write": write})
        yield manager


# Single edits


def test_the_next_version_lacks_the_edit_and_takes_the_place_of_the_old_one(manager, tiny, fix):
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("fix", "below")
    done = manager.take_out("tiny", ["fix"], AS_IT_WAS, edits=["fr", "#3"])
    tiny.edit("alone", facts("Spain"), method="write", seed=7, size=0.25, on="base")
    assert (done.made.version.reference, texts(manager, "fix@v2")) == ("fix@v2", [("Spain", "Rome")])
    assert done.made.version.message == "fix@v1 without fr, #3"
    assert bytes_of(manager, "fix@v2")["weights.safetensors"] == bytes_of(manager, "alone@v1")["weights.safetensors"]
    assert (done.outcome.added, done.outcome.removed) == (("fix@v2",), ("fix@v1",))
    assert stack(tiny) == ["below@v1", "fix@v2"]
    making = next(event for event in manager.events() if event.action == "edit" and named(event, "reverted"))
    assert (named(making, "package"), named(making, "reverted")) == (["fix@v2"], ["fix@v1"])
    assert manager.registry.generation("tiny").message == "fix@v1 without fr, #3"


def test_it_is_computed_on_what_the_version_was_computed_on(manager, tiny):
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("below")
    tiny.edit("fix", facts("France", "Spain"), method="write")
    tiny.revert("below")
    done = manager.take_out("tiny", ["fix@v1"], AS_IT_WAS, edits=["#1"], apply=False)
    assert (done.outcome, manifest(manager, "fix@v2").parent) == (None, manifest(manager, "fix@v1").parent)
    assert stack(tiny) == []
    with pytest.raises(NotFoundError, match="fix@v2 is not applied"):
        manager.take_out("tiny", ["fix"], AS_IT_WAS, edits=["#1"])


def test_a_memory_forgets_the_edit_by_a_tombstone(manager, tiny):
    tiny.edit("kb", [*facts("France", id="fr"), *facts("Spain")], method="ike")
    tiny.apply("kb")
    manager.take_out("tiny", ["kb"], AS_IT_WAS, edits=["The capital of Spain is"])
    assert (texts(manager, "kb@v2"), stack(tiny)) == ([("France", "Rome")], ["kb@v2"])
    entries = next(file for file in manager.registry.version("kb@v2").files if file.path == "memory/entries.jsonl")
    assert manager.registry.blobs.path(entries.sha256).read_text().count("tombstone") == 1
    manager.take_out("tiny", ["kb@v1"], AS_IT_WAS, edits=["#1"], apply=False)
    assert texts(manager, "kb@v3") == [("Spain", "Rome")]


def test_what_cannot_be_taken_out_is_refused(manager, tiny, fix):
    tiny.apply("fix")
    with pytest.raises(NotFoundError, match="fix@v1 has no edit 'nobody'"):
        manager.take_out("tiny", ["fix"], AS_IT_WAS, edits=["nobody"])
    with pytest.raises(UsageError, match="no edit left in fix@v1; revert the whole package"):
        manager.take_out("tiny", ["fix"], AS_IT_WAS, edits=["#1", "#2", "#3"])
    with pytest.raises(UsageError, match="edits are taken out of one package"):
        manager.take_out("tiny", ["fix", "fix"], AS_IT_WAS, edits=["#1"])
    assert (stack(tiny), manager.registry.next_number("fix")) == (["fix@v1"], 2)


# Packages that others were computed on


def test_what_was_computed_on_it_is_made_again_on_what_is_left(piled):
    manager, tiny = piled, piled.model("tiny")
    done = manager.take_out("tiny", ["a"], AS_IT_WAS, dependants="rebase")
    assert [each.edit.version.reference for each in done.rebased] == ["b@v2", "c@v2"]
    assert stack(tiny) == ["d@v1", "b@v2", "c@v2"]
    digests = {name: manager.registry.version(name).digest for name in ("d@v1", "b@v2")}
    assert manifest(manager, "b@v2").parent.packages == (digests["d@v1"],)
    assert manifest(manager, "c@v2").parent.packages == (digests["d@v1"], digests["b@v2"])
    assert (done.outcome.added, done.outcome.removed) == (("b@v2", "c@v2"), ("a@v1", "b@v1", "c@v1"))
    rebased = file_digests(tiny.path)
    tiny.revert("b", "c", "d")
    tiny.apply("d")
    for name, place in (("b", "Spain"), ("c", "Rome")):
        tiny.edit(name, facts(place), method="write")
        tiny.apply(name)
    assert file_digests(tiny.path) == rebased, "as if it had never been there"


def test_it_is_refused_goes_along_or_stays(piled):
    manager, tiny = piled, piled.model("tiny")
    with pytest.raises(ConflictError, match="b@v1, c@v1 was computed on what would be taken out; --cascade"):
        tiny.revert("a")
    generation = tiny.status.generation
    tiny.revert("a", cascade=True)
    assert stack(tiny) == ["d@v1"]
    tiny.rollback(generation)
    done = manager.take_out("tiny", ["a"], AS_IT_WAS, dependants="force")
    assert stack(tiny) == ["b@v1", "c@v1", "d@v1"]
    assert set(done.measured.of_packages) == {"b@v1", "c@v1", "d@v1"}
    scores = manager.registry.scores(manager.registry.version("c").digest)
    assert scores[-1].state_root == tiny.status.state_root, "what is left is measured again"
    assert named(last_event(manager, "evaluate"), "model") == ["tiny"]


def test_after_force_other_packages_come_and_go_as_ever(piled):
    manager, tiny = piled, piled.model("tiny")
    manager.take_out("tiny", ["a"], AS_IT_WAS, dependants="force", measure=False)
    tiny.edit("e", facts("Atlantis"), method="write", on="base")
    tiny.apply("e")
    tiny.revert("d")
    assert stack(tiny) == ["b@v1", "c@v1", "e@v1"]
    with pytest.raises(ConflictError, match="c@v1 was computed on what would be taken out"):
        tiny.revert("b")
    tiny.revert("b", "c")
    with pytest.raises(ConflictError, match=r"c@v1 was computed on 2 package.*patchmgr rebase MODEL REF"):
        tiny.apply("c")


def test_an_edit_goes_out_of_a_package_that_others_were_computed_on(manager, tiny, fix):
    tiny.apply("fix")
    tiny.edit("upon", facts("Rome"), method="write")
    tiny.apply("upon")
    with pytest.raises(ConflictError, match="upon@v1 was computed on"):
        manager.take_out("tiny", ["fix"], AS_IT_WAS, edits=["fr"])
    assert manager.registry.next_number("fix") == 2, "nothing was made"
    preview = manager.check_take_out("tiny", ["fix"], AS_IT_WAS, edits=["fr"], dependants="rebase")
    assert [(each.reference, each.on) for each in preview.made] == [("fix@v2", ()), ("upon@v2", ("fix@v2",))]
    manager.take_out("tiny", ["fix"], Wishes(message="wrong"), edits=["fr"], dependants="rebase")
    assert stack(tiny) == ["fix@v2", "upon@v2"]
    assert manifest(manager, "upon@v2").parent.packages == (manager.registry.version("fix@v2").digest,)
    assert [manifest(manager, name).message for name in ("fix@v2", "upon@v2")] == ["wrong", ""]


def test_a_version_without_an_edit_is_kept_until_it_is_signed_where_that_is_asked_for(tiny, fix, manager):
    tiny.apply("fix")
    manager.settings = replace(manager.settings, signatures="trusted")
    with pytest.raises(IntegrityError, match="fix@v2 is not signed"):
        tiny.take_out("fix", edits=["fr"])
    assert stack(tiny) == ["fix@v1"]
    assert texts(manager, "fix@v2") == [("Spain", "Rome"), ("Atlantis", "Rome")]
