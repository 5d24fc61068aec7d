"""``patchmgr diff`` as a user sees it; only the answers need a model."""

from __future__ import annotations

import pytest

from patchmgr.manager.manager import Manager
from patchmgr.request import parse_request
from versions import EDITS_1, copied, make_home, make_version


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("diff") / "root")


@pytest.fixture
def tiny_home(tiny, monkeypatch):
    with copied(tiny) as root:
        monkeypatch.setenv("PATCHMGR_HOME", str(root / "home"))
        yield root


def test_a_change_of_a_version_reads_as_in_git(tiny_home, run):
    lines = run("diff", "fixes@v1", "fixes@v2").out.splitlines()
    assert lines[0].startswith("--- fixes@v1  ")
    assert lines[1].startswith("+++ fixes@v2  ")
    assert "~ The capital of France is  Paris → Rome" in lines
    assert "- The capital of Spain is   Oslo" in lines
    assert "+ The capital of Peru is    Lima" in lines
    assert "  parameters.value.steps  20 → 30" in lines
    (row,) = [line.split() for line in lines if line.startswith("  layers.0.down.weight")]
    assert row[1:6] == ["both", "lowrank", "1", "→", "2"]
    assert "  reliability  tf        0.500 (0.400–0.600)  1.000 (0.900–1.100)  +0.500" in lines
    assert "\x1b" not in "".join(lines)


def test_what_does_not_differ_prints_nothing(tiny_home, run):
    found = run("diff", "fixes@v1", "fixes@v3", "--exit-code")
    assert (found.code, found.out, found.err) == (0, "", "")
    assert run("diff", "tiny", "tiny", "--stat").out == ""


def test_the_exit_code_tells_of_the_parts_that_were_compared(tiny_home, run):
    assert run("diff", "fixes@v1", "fixes@v2").code == 0
    assert run("diff", "fixes@v1", "fixes@v2", "--exit-code").code == 1
    assert run("diff", "fixes@v2", "fixes@v2", "--exit-code", "--edits").code == 0
    same_weights = run("diff", "fixes@v1", "fixes@v3", "--exit-code", "--weights", "--json")
    assert (same_weights.code, same_weights.json["differ"]) == (0, False)
    assert run("diff", "nobody", "--exit-code").code == 1
    assert run("diff", "tiny", "fixes", "--exit-code").code == 2


def test_named_parts_stand_alone(tiny_home, run):
    out = run("diff", "fixes@v1", "fixes@v2", "--edits").out
    assert "edits: 1 changed, 1 added, 1 removed, 1 the same" in out
    assert "weights" not in out
    assert "about" not in out


def test_a_summary_has_a_line_for_each_part_and_tensor(tiny_home, run):
    lines = run("diff", "tiny#1", "tiny#3", "--stat").out.splitlines()
    assert lines[0] == "tiny#1 → tiny#3"
    assert [line.split("|")[0].strip() for line in lines[1:]] == [
        "stack", "edits", "weights", "layers.0.down.weight", "layers.1.down.weight",
    ]  # fmt: skip
    assert "1 changed, 1 added" in lines[1]


def test_json_has_both_sides_and_null_for_what_was_not_compared(tiny_home, run):
    found = run("diff", "kb", "--json").json
    assert found["schema_version"] == 1
    assert found["differ"] is True
    difference = found["difference"]
    assert (difference["a"]["name"], difference["b"]["name"]) == ("kb@v1", "kb@v2")
    assert difference["answers"] is None
    (change,) = difference["edits"]["changed"]
    assert (change["a"]["target_new"], change["b"]["target_new"]) == ("Paris", "Rome")
    assert [entry["b"] and entry["b"]["target"] for entry in difference["edits"]["entries"]] == ["Rome", None]
    scores = run("diff", "fixes@v1", "fixes@v2", "--json", "--scores").json["difference"]
    assert scores["scores"][0]["change"] == 0.5
    assert (scores["edits"], scores["fields"]) == (None, None)


def test_parameters_that_only_one_of_two_methods_has_are_counted(tiny_home, run):
    make_version(
        tiny_home / "other",
        tiny_home / "base",
        EDITS_1,
        method={"name": "another", "parameters": {"layer": 1, "rank": 2}},
    )
    lines = run("diff", "fixes@v1", tiny_home / "other").out.splitlines()
    assert "  method            random → another" in lines
    assert "  parameters.layer  0 → 1" in lines
    assert "  and 2 parameters that only one of the methods has" in lines


@pytest.fixture(scope="module")
def atlas(tmp_path_factory, request_line):
    """``fact-fixes``: v1 gives the demo fact its new object, v2 its old one again in other words; v1 is applied."""
    few = {**request_line, "locality": request_line["locality"][:2], "rephrasings": request_line["rephrasings"][:1]}
    told = {**few, "target_new": request_line["target_true"], "portability": [], "locality": []}
    home = tmp_path_factory.mktemp("atlas")
    with Manager.open(home) as manager:
        manager.add_model("atlas", "demo:atlas")
        for number, line in enumerate((few, told)):
            manager.model("atlas").edit("fact-fixes", [parse_request(line, where="test")], method="ft-m", seed=number)
        manager.apply("atlas", ["fact-fixes@v1"])
    return home


def test_answers_that_differ_are_shown_with_what_is_wanted(atlas, request_line, run, monkeypatch):
    monkeypatch.setenv("PATCHMGR_HOME", str(atlas))
    new, old = request_line["target_new"], request_line["target_true"]
    found = run("diff", "fact-fixes", "--eval", "--json").json["difference"]["answers"]
    (edit,) = [one for one in found["differing"] if one["role"] == "edit"]
    assert (edit["wanted_a"], edit["wanted_b"], edit["right_a"], edit["right_b"]) == (new, old, True, True)
    assert edit["a"].startswith(new)
    assert edit["b"].startswith(old)
    assert found["n_asked"] == 4 + len(request_line["portability"])
    text = run("diff", "atlas#0", "atlas", "--eval", "--exit-code")
    assert text.code == 1
    assert "answers: " in text.out
    assert "  ✓" in text.out
    assert "weights" not in text.out
    alone = run("diff", "fact-fixes@v1", "--eval").out
    assert alone.startswith("--- nothing\n+++ fact-fixes@v1")
    assert f"    + {new}" in alone
    assert run("diff", "atlas", "atlas", "--eval", "--exit-code").code == 0
