"""``patchmgr blame``: what it prints for a prompt and for a tensor, as text and as JSON."""

from __future__ import annotations

import shutil

import pytest

from planted import ANSWER, PROMPT, WEIGHT, plant
from test_packaging import imported


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """``atlas`` with three packages, the second of which spoils it."""
    home = tmp_path_factory.mktemp("planted") / "home"
    plant(home, n=3, at=2)
    return home


@pytest.fixture(autouse=True)
def planted_home(home, three):
    shutil.copytree(three, home, dirs_exist_ok=True, symlinks=True)


def test_the_package_that_keeps_an_answer_away_is_named_with_the_evidence(run):
    result = run("blame", "atlas", PROMPT, "--target", ANSWER, "-q")
    assert result.code == 0, result.err
    assert f"p2@v1 keeps it from saying '{ANSWER}'" in result.out
    now, base, *rest = result.out.splitlines()[1:]
    assert now.startswith("now ") and f"{PROMPT} {ANSWER}" not in now
    assert base.startswith("base") and f"{PROMPT} {ANSWER}" in base
    (line,) = [line for line in rest if line.startswith("p2@v1") and "another answer" in line]
    assert ANSWER in line and "no keys" in line


def test_json_has_the_evidence_of_every_package_that_was_tried(run):
    found = run("blame", "atlas", PROMPT, "--target", ANSWER, "--json").json["blame"]
    assert (found["verdict"], found["blamed"], found["target"]) == ("package", ["p2@v1"], ANSWER)
    assert (found["now"]["says_target"], found["base"]["says_target"]) == (False, True)
    of_package = {one["package"]["reference"]: one for one in found["evidence"]}
    assert set(of_package) == {"p1@v1", "p2@v1", "p3@v1"}
    assert [name for name, one in of_package.items() if one["changes_answer"]] == ["p2@v1"]
    second = of_package["p2@v1"]
    assert second["log_p_lost"] == pytest.approx(found["now"]["log_p"] - second["without"]["log_p"])


def test_an_answer_that_needs_no_package_is_the_base_s(run):
    run("revert", "atlas", "p2")
    result = run("blame", "atlas", PROMPT, "-q")
    assert result.code == 0
    assert f"the base answers '{ANSWER}' itself" in result.out


def test_a_tensor_is_traced_without_loading_torch(run):
    found = run("blame", "atlas", "--tensor", WEIGHT, "--json").json["tensor"]
    assert [one["reference"] for one in found["writers"]] == ["p1@v1", "p2@v1", "p3@v1"]
    assert found["last"] == "p3@v1"
    assert [one["norm"] for one in found["writers"]] == pytest.approx([0.01, 300, 0.01], rel=1e-5)
    text = run("blame", "atlas", "--tensor", WEIGHT).out
    assert "p3@v1 wrote it last" in text and "random" in text
    assert "no package of the stack writes it" in run("blame", "atlas", "--tensor", WEIGHT.replace("h.0", "h.1")).out
    assert not imported("blame", "atlas", "--tensor", WEIGHT) & {"torch", "transformers"}


@pytest.mark.parametrize("words", [(), (PROMPT, "--tensor", WEIGHT), ("--tensor", WEIGHT, "--exhaustive")])
def test_a_prompt_or_a_tensor_must_be_given(run, words):
    result = run("blame", "atlas", *words)
    assert result.code == 2
    assert result.err.startswith("error: ")
