"""``patchmgr rebase``, ``merge``, ``cherry-pick`` and ``revert --edit`` on the demo base and another revision of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.conftest import everything
from patchmgr.demo.edits import edit_requests
from patchmgr.manager.manager import Manager

QUICK = {"method": "ft-m", "stop_loss": 0.3}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory) -> Path:
    """A home with ``atlas``, packages ``a`` (two edits) and ``b`` (one), and ``later``: atlas with ``b`` for a base."""
    home, later = tmp_path_factory.mktemp("stocked"), tmp_path_factory.mktemp("bases") / "later"
    first, second, third = edit_requests(3, seed=11)
    with Manager.open(home) as manager:
        manager.add_model("atlas", "demo:atlas")
        atlas = manager.model("atlas")
        atlas.edit("a", [first, second], message="why", **QUICK)
        atlas.edit("b", [third], **QUICK)
        manager.write_out("atlas", ["b"], later)
        manager.add_model("later", str(later))
    return home


@pytest.fixture
def atlas_with_two(home, stocked) -> Path:
    shutil.copytree(stocked, home, dirs_exist_ok=True, symlinks=True)
    return home


def ids(reference):
    with Manager.open() as manager:
        return [request.id for request in manager.registry.edits(manager.registry.version(reference).digest)]


def test_a_package_is_carried_to_another_revision_of_its_base_and_every_edit_is_told(atlas_with_two, run):
    done = run("rebase", "a", "--base", "later", "--json").json
    assert (done["source"], done["reference"]) == ("a@v1", "a@v2")
    assert done["kept_parameters"] == ["stop_loss"]
    assert [fact["edit"] for fact in done["facts"]] == [request["id"] for request in edit_requests(2, seed=11)]
    for fact in done["facts"]:
        assert (fact["held"], fact["holds"], fact["scores"]["without"]["exact_match"]) == (True, True, 0)
        assert set(fact["scores"]["now"]) >= {"reliability", "generalization", "locality", "exact_match"}
    assert run("apply", "later", "a@v2").code == 0
    assert run("apply", "atlas", "a@v2").code == 5
    told = run("rebase", "a@v1", "--base", "later", "--dry-run")
    assert told.out.startswith("would make a@v3: 2 edit(s) by ft-m on the base")
    assert (run("rebase", "a").code, run("rebase", "atlas", "a", "--base", "later").code) == (2, 2)


def test_a_package_is_made_again_on_the_present_state_with_a_table_of_what_survives(atlas_with_two, run):
    run("apply", "atlas", "b")
    done = run("rebase", "atlas", "a", "-m", "again")
    lines = done.out.splitlines()
    assert lines[0].startswith("a@v2  2 edit(s)")
    header = next(line.split() for line in lines if line.startswith("EDIT"))
    assert header == ["EDIT", "FACT", "HELD", "HOLDS", "RELIABILITY", "GENERALIZATION", "LOCALITY", "PORTABILITY"]
    assert lines[-1] == "2 of 2 that held survived; 2 of 2 hold now"
    assert "next: patchmgr apply atlas a@v2" in done.err
    event = next(event for event in run("audit", "--json").json["events"] if event["action"] == "rebase")
    assert ["rebased", "a@v1"] in [[thing["kind"], thing["name"]] for thing in event["objects"]]
    run("apply", "atlas", "a")
    refused = run("revert", "atlas", "b")
    assert (refused.code, "--rebase makes them again" in refused.err) == (4, True)
    preview = run("revert", "atlas", "b", "--rebase", "--dry-run", "--json").json
    assert [(made["reference"], made["on"]) for made in preview["made"]] == [("a@v3", [])]
    done = run("revert", "atlas", "b", "--rebase", "--json").json
    assert (done["outcome"]["stack"], done["rebased"][0]["source"]) == (["a@v3"], "a@v2")


def test_packages_are_merged_and_a_contradiction_is_exit_code_4(atlas_with_two, run):
    before = everything(atlas_with_two)
    assert run("merge", "all", "a", "b", "--model", "atlas", "--how", "sum", "--dry-run").code == 0
    assert everything(atlas_with_two) == before
    done = run("merge", "all", "a", "b", "--model", "atlas", "--how", "sum", "--no-measure", "--json").json
    assert (done["reference"], done["sources"], done["scores"]) == ("all@v1", ["a@v1", "b@v1"], [])
    fact = edit_requests(1, seed=11)[0]
    prompt = ("--prompt", fact["prompt"], "--subject", fact["subject"], "--target", "Nowhere")
    run("edit", "atlas", "--name", "other", *prompt, "--method", "ike")
    words = ("merge", "mixed", "a", "other", "--model", "atlas", "--method", "ike", "--seed", "0")
    refused = run(*words)
    assert refused.code == 4
    assert "1 fact(s) with two answers: a@v1 says" in refused.err
    done = run(*words, "--prefer", "other")
    assert (done.code, done.out.splitlines()[0].startswith("mixed@v1  2 edit(s)")) == (0, True)
    assert "1 edit(s) overruled" in done.err


def test_single_edits_are_picked_and_taken_out(atlas_with_two, run):
    first, second = edit_requests(2, seed=11)
    run("apply", "atlas", "a")
    made = run("cherry-pick", "atlas", "a", "#2", "--match", second["subject"], "--name", "few", "--json").json
    assert made["reference"] == "few@v1"
    assert ids("few") == [second["id"]]
    assert run("cherry-pick", "atlas", "a", "nobody").code == 1
    done = run("revert", "atlas", "a", "--edit", first["id"])
    assert "atlas: generation 2 (+a@v2 -a@v1)" in done.out
    assert ids("a@v2") == [second["id"]]
    assert run("revert", "atlas", "a", "--edit", "#1").code == 2, "no edit would be left"
    assert run("revert", "atlas", "a", "--cascade", "--force").code == 2
