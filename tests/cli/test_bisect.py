"""``patchmgr bisect``: the words that it takes, what it prints, and its exit codes."""

from __future__ import annotations

import shutil

import pytest

from planted import ANSWER, PROMPT, plant


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """``atlas`` with three packages, the second of which spoils it."""
    home = tmp_path_factory.mktemp("planted") / "home"
    plant(home, n=3, at=2)
    return home


@pytest.fixture(autouse=True)
def planted_home(home, three):
    shutil.copytree(three, home, dirs_exist_ok=True, symlinks=True)


def test_the_package_is_named_with_who_made_it_and_what_it_says(run):
    result = run("bisect", "atlas", "--prompt", PROMPT, "--expect", ANSWER, "-q")
    assert result.code == 0, result.err
    assert "p2@v1 turned it bad (2 evaluation(s) for 3 step(s))" in result.out
    for part in ("by tests, method random", "message  random", "Town 2 lies in", "Nowhere", "1 of 3, to p1@v1"):
        assert part in result.out


def test_json_has_the_package_the_edits_and_the_log(run):
    result = run("bisect", "atlas", "--prompt", PROMPT, "--expect", ANSWER, "--check-ends", "--json")
    found = result.json["bisect"]
    assert (result.code, found["found"], found["agreed"], found["over"]) == (0, True, None, "stack")
    (package,) = found["turned"]["packages"]
    assert (package["reference"], package["moved"], package["author"]) == ("p2@v1", "added", "tests")
    assert package["edits"][0]["subject"] == "Town 2"
    names = [entry["name"] for entry in found["log"]]
    assert names == ["3 of 3, to p3@v1", "the base", "2 of 3, to p2@v1", "1 of 3, to p1@v1"]
    assert [entry["verdict"] for entry in found["log"]] == ["bad", "good", "bad", "good"]
    assert (found["n_evaluations"], found["n_skipped"], found["n_steps"]) == (4, 0, 3)


def test_a_command_behind_two_dashes_judges_and_its_output_is_kept_off_stdout(run):
    script = 'echo heard; case "$PATCHMGR_PACKAGES" in *p2*) exit 1;; esac'
    result = run("bisect", "atlas", "--json", "--", "sh", "-c", script)
    assert (result.code, result.json["bisect"]["turned"]["packages"][0]["reference"]) == (0, "p2@v1")


def test_exit_code_1_when_both_ends_agree_and_when_none_stands_alone(run):
    result = run("bisect", "atlas", "--prompt", PROMPT, "--expect", "Lisbon", "-q")
    assert result.code == 1
    assert "nothing turned it: the base is a bad state already" in result.out
    skipping = 'case "$PATCHMGR_PACKAGES" in *p2*) exit 1;; *p1*) exit 125;; esac'
    result = run("bisect", "atlas", "-q", "--", "sh", "-c", skipping)
    assert result.code == 1
    assert "cannot tell which of these" in result.out
    assert "p1@v1" in result.out and "p2@v1" in result.out


def test_generations_are_named_by_number_action_and_message(run):
    by = ("--prompt", PROMPT, "--expect", ANSWER, "-q")
    result = run("bisect", "atlas", "--generations", "--good", 1, *by)
    assert result.code == 0, result.err
    assert "generation 2 (apply p2@v1) turned it bad" in result.out
    assert "put p2 on" in result.out


@pytest.mark.parametrize(
    "words", [(), ("--require", "locality>=0.9", "--", "true"), ("--require", "nonsense", "--data", "x"), ("--not",)]
)
def test_one_test_must_be_given(run, words):
    result = run("bisect", "atlas", *words)
    assert result.code == 2
    assert "error" in result.err
