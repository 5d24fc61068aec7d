"""``patchmgr edit`` without subjects, and from a table: what is found is said once and kept in the package."""

from __future__ import annotations

import pytest

from patchmgr.manager.manager import Manager
from patchmgr.manager.states import open_version

QUICK = ("--method", "rome", "--set", "steps=2", "--set", "statistics=identity", "--set", "context_count=0")


@pytest.fixture
def facts(tmp_path):
    path = tmp_path / "facts.csv"
    path.write_text(
        "question;target;subject;note\nThe capital of Norway is;Lima;;\n\nThe capital of Peru is;Oslo;Peru;x\n"
    )
    return path


def test_a_table_is_edited_and_the_subject_that_was_found_is_kept(run, atlas_home, facts):
    made = run("edit", "atlas", "--name", "capitals", "--edits", facts, *QUICK)
    assert made.code == 0, made.err
    assert made.err.splitlines()[:2] == [
        "facts.csv: left out 1: the column 'note' is not one of ours",
        "1 subject(s) found in the prompts: 'Norway'",
    ]
    with Manager.open(atlas_home) as manager:
        package = open_version(manager, manager.registry.version("capitals"))
    assert [request.subject for request in package.requests] == ["Norway", "Peru"]


def test_a_trial_says_it_too_and_a_quiet_one_does_not(run, atlas_home):
    words = ("edit", "atlas", "--name", "x", "--prompt", "The capital of Norway is", "--target", "Lima", "--dry-run")
    assert "'Norway'" in run(*words).err
    assert run(*words, "--json").json["preview"]["found_subjects"] == ["Norway"]
    assert run(*words, "--quiet").err == ""


def test_two_names_are_refused_with_both_and_the_next_step(run, atlas_home):
    done = run("edit", "atlas", "--name", "x", "--prompt", "Norway lies north of Peru in", "--target", "Asia")
    assert done.code == 1
    assert "'Norway', 'Peru'" in done.err
    assert "add the field subject" in done.err


def test_a_prompt_without_a_name_is_refused_as_before(run, atlas_home):
    done = run("edit", "atlas", "--name", "x", "--prompt", "water is", "--target", "dry")
    assert done.code == 1
    assert "names no subject" in done.err
