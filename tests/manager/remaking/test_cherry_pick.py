"""Cherry-picking: some edits of a package, made again as a package of their own or as its next version."""

from __future__ import annotations

import pytest

from manager.remaking.facts import AS_IT_WAS, bytes_of, facts, last_event, manifest, named, texts
from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.remaking.source import Wishes

PICKED = [("France", "Rome"), ("Atlantis", "Rome")]


@pytest.fixture
def fix(tiny):
    requests = [*facts("France", id="fr"), *facts("Spain", "Atlantis")]
    return tiny.edit("fix", requests, method="write", seed=7, size=0.25, message="why").version


def test_some_edits_become_a_package_made_as_the_whole_was(manager, tiny, fix):
    tiny.apply("fix")
    made = manager.cherry_pick("tiny", "fix", ["#3", "fr"], AS_IT_WAS, name="few").version
    tiny.edit("alone", facts("France", "Atlantis"), method="write", seed=7, size=0.25, on="base")
    assert (made.reference, made.message, texts(manager, "few@v1")) == ("few@v1", "why", PICKED)
    assert manifest(manager, "few@v1").parent.packages == (), "what they come from is thought away"
    assert bytes_of(manager, "few@v1")["weights.safetensors"] == bytes_of(manager, "alone@v1")["weights.safetensors"]
    event = last_event(manager, "cherry-pick")
    assert (named(event, "package"), named(event, "picked")) == (["few@v1"], ["fix@v1"])


def test_without_another_name_it_is_the_next_version(manager, fix):
    made = manager.cherry_pick("tiny", "fix@v1", [], AS_IT_WAS, match=["france", "ATLANTIS"]).version
    assert (made.reference, made.parent_version, texts(manager, "fix@v2")) == ("fix@v2", 1, PICKED)


def test_all_edits_picked_are_the_package(manager, fix):
    manager.cherry_pick("tiny", "fix", ["#1", "#2", "#3"], AS_IT_WAS, name="all")
    for file in ("weights.safetensors", "edits.jsonl"):
        assert bytes_of(manager, "all@v1")[file] == bytes_of(manager, "fix@v1")[file]


def test_edits_are_carried_to_another_base(manager, fix, deeper_base):
    manager.add_model("deep", str(deeper_base))
    manager.cherry_pick("deep", "fix", ["fr"], AS_IT_WAS, name="few")
    new = manifest(manager, "few@v1")
    assert new.base.fingerprint == manager.registry.model("deep").base.fingerprint
    assert (new.method.parameters["depth"], new.method.given) == (3, ("size",))


def test_what_names_no_edit_is_refused(manager, fix):
    with pytest.raises(UsageError, match="no edit is named"):
        manager.cherry_pick("tiny", "fix", [], AS_IT_WAS)
    with pytest.raises(NotFoundError, match="fix@v1 has no edit 'nobody'"):
        manager.cherry_pick("tiny", "fix", ["nobody"], AS_IT_WAS)
    with pytest.raises(NotFoundError, match="no edit of fix@v1 holds 'nothing'"):
        manager.check_cherry_pick("tiny", "fix", ["fr"], Wishes(), match=["nothing"])
