"""``patchmgr harness`` with a task of the test's own in place of lm-evaluation-harness: states, gates, what is kept."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, field

import pytest
import torch

from patchmgr.demo.edits import edit_requests
from patchmgr.errors import GateError, PatchmgrError
from patchmgr.evaluate.harness import run as glue
from patchmgr.evaluate.harness.found import Found, Measure, Task
from patchmgr.live import load
from patchmgr.manager.harness import HarnessOrder
from patchmgr.manager.manager import Manager

QUESTIONS = [(fact["prompt"].format(fact["subject"]), fact["target_true"]) for fact in edit_requests(4, seed=7)]
"""Facts that the base answers; the package of the tests moves the first one."""


@dataclass
class Facts:
    """A task that asks the model for the first token of each answer."""

    how: list[dict[str, object]] = field(default_factory=list)
    directions: dict[str, dict[str, bool]] = field(default_factory=lambda: {"facts": {"acc": True}})
    groups: tuple[str, ...] = ()

    def ask(self, model, *, batch_size, limit, seed, tell):
        self.how.append({"root": model.state_root, "batch_size": batch_size, "limit": limit, "seed": seed})
        values = {}
        for number, (prompt, answer) in enumerate(QUESTIONS[:limit]):
            ids = model.tokenizer(prompt, return_tensors="pt").input_ids.to(model.model.device)
            with torch.no_grad():
                said = int(model.model(ids).logits[0, -1].argmax())
            values[number] = float(said == model.tokenizer(f"{prompt} {answer}").input_ids[ids.shape[1]])
            tell(number + 1, len(QUESTIONS))
        task = Task("facts", "tf", len(values), 0, "a" * 64)
        mean = sum(values.values()) / len(values)
        return Found({"facts": task}, {("facts", "acc"): Measure("facts", "acc", mean, 0.125, values)})


@pytest.fixture
def facts(monkeypatch):
    """The task in place of the harness, with how it was asked."""
    task = Facts()
    monkeypatch.setattr(glue, "require_harness", lambda: "0.0-test")
    monkeypatch.setattr(glue, "load_tasks", lambda _names, **_how: task)
    return task


def rows(home) -> tuple[int, int]:
    with closing(sqlite3.connect(home / "registry.db")) as raw:
        return tuple(raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("scores", "events"))


def test_both_states_are_asked_with_the_base_loaded_once(run, atlas_home, facts, monkeypatch):
    loads, load_model = [], load.load_model
    monkeypatch.setattr(load, "load_model", lambda *args, **how: loads.append(args) or load_model(*args, **how))
    done = run("harness", "fact-fixes", "--tasks", "facts", "--json", "--batch-size", 3, "--seed", 5)
    assert done.code == 0, done.err
    assert len(loads) == 1
    (one,) = done.json["evaluations"]
    assert [how["root"] for how in facts.how] == [one["before_root"], one["after_root"]]
    assert {(how["batch_size"], how["limit"], how["seed"]) for how in facts.how} == {(3, None, 5)}
    (task,) = one["tasks"]
    assert (task["before"]["value"], task["after"]["value"], task["difference"]) == (1.0, 0.75, -0.25)
    assert (task["n"], task["n_changed"], task["interval"]) == (4, 1, [-0.75, 0.0])
    with Manager.open() as manager:
        assert manager.apply("atlas", ["fact-fixes"]).state_root == one["after_root"], (
            "what was asked is what it becomes"
        )


def test_scores_and_one_event_are_kept(run, atlas_home, facts):
    before = rows(atlas_home)
    one = run("harness", "fact-fixes", "--tasks", "facts", "--json").json["evaluations"][0]
    assert rows(atlas_home) == (before[0] + 2, before[1] + 1)
    assert run("audit", "verify").code == 0
    event = run("audit", "--json").json["events"][-1]
    assert event["action"] == "evaluate"
    assert [(score["metric"], score["phase"], score["value"]) for score in event["scores"]] == [
        ("harness/facts/acc", "before", 1.0),
        ("harness/facts/acc", "after", 0.75),
    ]
    kept = [score for score in run("show", "fact-fixes", "--json").json["measured_later"] if "facts" in score["metric"]]
    assert [score["state_root"] for score in kept] == [one["before_root"], one["after_root"]]
    assert {score["dataset_sha256"] for score in kept} == {"a" * 64}
    assert "harness/facts/acc" in run("show", "fact-fixes").out


def test_gates_pass_and_fail_and_the_report_is_written_either_way(run, atlas_home, facts, tmp_path):
    good = run("harness", "fact-fixes", "--tasks", "facts", "--require", "facts/acc drop<=0.25")
    assert good.code == 0
    assert "the drop is 0.25" in good.err
    assert "-0.2500" in good.out
    before, report = rows(atlas_home), tmp_path / "report.json"
    words = ("--require", "facts/acc drop<=0.1", "--require", "facts/acc>=0.9", "--report", report)
    bad = run("harness", "fact-fixes", "--tasks", "facts", *words)
    assert bad.code == 3
    assert "facts/acc drop<=0.1 was required of fact-fixes@v1 and the drop is 0.25, off by 0.15" in bad.err
    assert "facts/acc>=0.9 was required of fact-fixes@v1 and it is 0.75, off by 0.15" in bad.err
    assert "DIFFERENCE" in bad.out, "the table is shown all the same"
    assert rows(atlas_home) == (before[0] + 2, before[1] + 1), "what was measured is evidence either way"
    found = json.loads(report.read_text())
    assert found["evaluations"][0]["tasks"][0]["changed"] == [{"document": 0, "before": 1.0, "after": 0.0}]
    assert [gate["met"] for gate in found["gates"]] == [False, False]


def test_a_failed_gate_is_one_json_object_with_the_error(run, atlas_home, facts):
    failed = run("harness", "fact-fixes", "--tasks", "facts", "--require", "facts/acc drop<=0", "--json")
    assert failed.code == 3
    assert failed.json["error"]["kind"] == "gate"
    assert failed.json["evaluations"][0]["tasks"][0]["difference"] == -0.25


def test_a_model_is_compared_with_its_base_and_scores_are_kept_by_state(run, atlas_home, facts):
    run("apply", "atlas", "fact-fixes")
    before = rows(atlas_home)
    one = run("harness", "atlas", "--tasks", "facts", "--json").json["evaluations"][0]
    assert (one["subject"], one["digest"]) == ("atlas", None)
    assert one["tasks"][0]["difference"] == -0.25
    assert rows(atlas_home) == (before[0] + 2, before[1] + 1)
    with Manager.open() as manager:
        assert "harness/facts/acc" in {score.metric for score in manager.registry.scores_of_state(one["after_root"])}


def test_several_packages_ask_the_state_that_they_share_once(run, atlas_home, facts, edits_file):
    made = run("edit", "atlas", "--name", "other", "--edits", edits_file)
    assert made.code == 0, made.err
    done = run("harness", "fact-fixes", "other", "--tasks", "facts", "--json").json["evaluations"]
    assert [one["subject"] for one in done] == ["fact-fixes@v1", "other@v1"]
    assert len({how["root"] for how in facts.how}) == len(facts.how), "no state twice"
    assert facts.how[0]["root"] == done[0]["before_root"] == done[1]["before_root"]


def test_the_python_api(atlas_home, facts):
    with Manager.open() as manager:
        order = HarnessOrder(("facts",), limit=2, require=("facts/acc drop<=0.1",), dtype="bfloat16")
        report = manager.harness(["fact-fixes"], order)
        assert report.compute_dtype == "bfloat16"
        assert report.subjects[0].rows[0].after.value == 0.5
        with pytest.raises(GateError, match=r"off by 0\.4"):
            report.check()


def test_without_the_extra_the_error_says_what_to_install(run, atlas_home, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    before = rows(atlas_home)
    done = run("harness", "fact-fixes", "--tasks", "arc_easy")
    assert done.code == 1
    assert "pip install 'patchmgr[harness]'" in done.err
    assert rows(atlas_home) == before
    with pytest.raises(PatchmgrError, match="lm-evaluation-harness cannot be used here"):
        glue.require_harness()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing", "--tasks", "facts"], 1, "nothing"),
        (["fact-fixes"], 2, ""),
        (["fact-fixes", "--tasks", " , "], 2, "no task is named"),
        (["atlas", "--tasks", "facts"], 2, "atlas has no packages"),
        (["fact-fixes", "--tasks", "facts", "--include-path", "/no/such"], 1, "there is no folder '/no/such'"),
        (["fact-fixes", "--tasks", "facts", "--report", "/no/such/r.json"], 1, "there is no folder"),
        (["fact-fixes", "--tasks", "facts", "--require", "facts/acc"], 2, "is no requirement"),
        (["fact-fixes", "--tasks", "facts", "--require", "fact/acc>=0"], 2, "'fact', which does not run"),
        (["fact-fixes", "--tasks", "facts", "--require", "facts/f1>=0"], 2, "'f1', which facts does not have"),
        (["fact-fixes", "--tasks", "facts", "--require", "facts/acc<=0"], 2, "would pass where the patch does harm"),
        (["fact-fixes", "--tasks", "facts", "--device", "gpu"], 2, "is no device"),
        (["fact-fixes", "--tasks", "facts", "--batch-size", "0"], 2, ""),
    ],
)
def test_bad_input_runs_nothing_and_changes_nothing(run, atlas_home, facts, words, code, message):
    before = rows(atlas_home)
    done = run("harness", *words)
    assert done.code == code
    assert message in done.err
    assert rows(atlas_home) == before
    assert facts.how == []
