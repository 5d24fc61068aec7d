"""``patchmgr compare``: the same edits by several methods, nothing registered, failures counted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from cli.conftest import everything
from patchmgr.demo.edits import edit_requests
from patchmgr.errors import MethodError
from patchmgr.manager.compare import ComparisonOrder, Variant
from patchmgr.manager.manager import Manager
from patchmgr.methods import loader
from patchmgr.methods.contract import LowRankDelta, MethodParameters, Payload

WEIGHT = "transformer.h.2.mlp.c_proj.weight"


class Nudge:
    """Moves a weight by a fixed amount; gives up on, or breaks at, prompts that are named."""

    name, version, paper, kind, needs = "nudge", "1", "none", "weights", frozenset()

    class parameters(MethodParameters):  # noqa: N801
        size: float = 0.0
        refuse: str = "\0"
        crash: str = "\0"

    def edit(self, model, requests, parameters, context):
        weight = model.model.get_parameter(WEIGHT)
        for request in requests:
            if parameters.refuse in request.text:
                raise MethodError(f"{request.text} is too hard")
            if parameters.crash in request.text:
                weight.data.zero_()  # and goes away without tidying up
                raise RuntimeError("singular matrix")
        rows, columns = weight.shape
        u = np.full((rows, 1), parameters.size, np.float32)
        v = np.random.default_rng(0).normal(size=(1, columns)).astype(np.float32)
        return Payload([LowRankDelta(WEIGHT, u, v)], parameters.model_dump(mode="json"))


@pytest.fixture(autouse=True)
def nudge(monkeypatch) -> Iterator[None]:
    known = loader.load_plugins()
    monkeypatch.setattr(loader, "load_plugins", lambda: replace(known, methods={**known.methods, "nudge": Nudge()}))
    yield


@pytest.fixture(scope="module")
def facts():
    return edit_requests(3, seed=11)


@pytest.fixture
def three(tmp_path, facts):
    path = tmp_path / "three.jsonl"
    path.write_text("".join(json.dumps(request) + "\n" for request in facts))
    return path


def rows(home) -> tuple[int, ...]:
    with closing(sqlite3.connect(home / "registry.db")) as raw:
        tables = ("scores", "events", "versions", "packages")
        known = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return tuple(raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables if name in known)


def after(variant) -> dict[str, float]:
    return {row["metric"]: row["after"]["value"] for row in variant["rows"]}


def subject(request) -> str:
    return request["prompt"].replace("{}", request["subject"])


def test_rome_with_two_settings_and_nothing_is_registered(run, atlas_home, three, tmp_path):
    before, files = rows(atlas_home), everything(atlas_home)
    report = tmp_path / "compare.html"
    words = ("--variant", "more:rome", "--variant", "less:rome,steps=1", "--set", "more.steps=8", "--seed", 3)
    done = run("compare", "atlas", "--edits", three, *words, "--limit", 2, "--report", report, "--json")
    assert done.code == 0, done.err
    found = done.json["comparison"]
    more, less = found["variants"]
    assert [more["label"], less["label"]] == ["more", "less"]
    assert [more["parameters"]["steps"], less["parameters"]["steps"]] == [8, 1]
    assert more["parameters"]["layer"] is not None, "the value that was derived, not the default"
    for variant in (more, less):
        assert len(variant["seconds"]) == len(set(variant["states"])) == variant["n_edits"] == 2
        assert variant["seconds_per_edit"] > 0
        assert variant["package_bytes"] > 1000
        assert variant["peak_bytes"] > 10_000_000
        assert set(after(variant)) >= {"reliability", "generalization", "locality", "exact_match"}
    assert not {*more["states"]} & {*less["states"], found["root_before"]}
    assert found["n_edits"] == 2
    assert found["seed"] == 3
    assert found["mode"] == "one-by-one"
    assert len(found["dataset_sha256"]) == 64
    assert {"patchmgr", "torch", "transformers"} <= set(found["libraries"])
    assert "2202.05262" in report.read_text()
    assert rows(atlas_home) == before
    new = {name for name in everything(atlas_home) - files if not name.startswith("artefacts")}
    assert new <= {"tmp"}, "only statistics that methods keep"
    assert run("status", "atlas", "--json").json["models"][0]["stack"] == []


def test_memories_are_compared_with_weights_and_begin_anew_whatever_has_their_name(run, atlas_home, three):
    before = rows(atlas_home)
    words = ("--methods", "nudge,ike", "--variant", "fact-fixes:retrieve-and-prepend,threshold=0.7", "--limit", 2)
    done = run("compare", "atlas", "--edits", three, *words, "--json")
    assert done.code == 0, done.err
    found = {variant["label"]: variant for variant in done.json["comparison"]["variants"]}
    assert {label: (one["kind"], one["n_failed"]) for label, one in found.items()} == {
        "nudge": ("weights", 0), "ike": ("memory", 0), "fact-fixes": ("memory", 0)
    }  # fmt: skip
    assert found["fact-fixes"]["parameters"]["threshold"] == 0.7
    assert found["nudge"]["states"][0] == found["nudge"]["states"][1], "the same nudge whatever the edit"
    for label in ("ike", "fact-fixes"):
        assert len(set(found[label]["states"])) == 2, "each edit has a memory of its own"
        assert found[label]["package_bytes"] > 100_000, "the encoder is in it"
    assert after(found["fact-fixes"])["locality"] == 1.0, "what is not claimed is the base's"
    assert rows(atlas_home) == before
    table = run("compare", "atlas", "--edits", three, "--methods", "nudge,ike", "--limit", 1)
    assert table.out.splitlines()[1].split() == ["kind", "weights", "memory"]


def test_edits_one_by_one_are_what_each_alone_scores(atlas_home, three, tmp_path):
    with Manager.open() as manager:
        order = ComparisonOrder((Variant("n", "nudge", {"size": "2"}),), three)
        (pooled,) = manager.compare("atlas", order).variants
        alone = []
        for line in three.read_text().splitlines():
            single = tmp_path / "single.jsonl"
            single.write_text(line + "\n")
            alone.append(manager.compare("atlas", replace(order, edits=single)).variants[0])
    assert pooled.states == tuple(state for one in alone for state in one.states)
    for row in pooled.rows:
        same = [other for one in alone for other in one.rows if other.metric == row.metric]
        assert row.n == sum(other.n for other in same)
        mean = sum(other.after.value * other.n for other in same) / row.n
        assert row.after.value == pytest.approx(mean)
        if len(same) > 1:
            assert row.after.low is not None
            assert row.after.low <= row.after.value <= row.after.high
    assert any(row.metric == "locality" and row.after.value < 1 for row in pooled.rows)


def test_what_a_method_gives_up_on_is_counted_and_the_model_is_whole_again(run, atlas_home, facts, three):
    first, second, _ = map(subject, facts)
    words = ["--set", f"fails.refuse={first}", "--set", f"fails.crash={second}"]
    done = run("compare", "atlas", "--edits", three, "--variant", "fails:nudge", "--variant", "does:nudge", *words)
    assert done.code == 0, done.err
    assert "2/3" in done.out
    assert "is too hard" in done.err
    assert "RuntimeError: singular matrix" in done.err
    found = run("compare", "atlas", "--edits", three, "--variant", "fails:nudge", "--variant", "does:nudge",
                *words, "--json").json["comparison"]  # fmt: skip
    fails, does = found["variants"]
    assert [failure["edit"] for failure in fails["failures"]] == [1, 2]
    assert len(fails["seconds"]) == 1
    assert fails["states"][:2] == [found["root_before"]] * 2
    assert fails["rows"] == does["rows"], "a change by nothing and no change score alike"
    assert after(does)["locality"] == 1.0


def test_together_and_kept(run, atlas_home, three, tmp_path):
    keep = tmp_path / "kept"
    words = ("--methods", "nudge", "--set", "nudge.size=0.001", "--together", "--keep", keep)
    found = run("compare", "atlas", "--edits", three, *words, "--json").json["comparison"]
    (variant,) = found["variants"]
    assert found["mode"] == "together"
    assert len(variant["states"]) == 1
    assert [path.name for path in keep.iterdir()] == ["nudge"]
    package = json.loads((keep / "nudge" / "patch.json").read_text())
    assert package["n_edits"] == 3
    measured = run("evaluate", keep / "nudge", "--json").json["evaluations"][0]["scores"]
    assert {score["metric"]: score["value"] for score in measured if score["phase"] == "after"} == after(variant)
    assert {score["state_root"] for score in measured if score["phase"] == "after"} == set(variant["states"])
    again = run("compare", "atlas", "--edits", three, *words)
    assert again.code == 4
    assert "holds something already" in again.err


def test_all_together_fail_together(run, atlas_home, facts, three):
    words = ("--methods", "nudge", "--set", f"nudge.refuse={subject(facts[2])}", "--together", "--json")
    (variant,) = run("compare", "atlas", "--edits", three, *words).json["comparison"]["variants"]
    assert variant["n_failed"] == 3
    assert variant["failures"][0]["edit"] is None
    assert variant["seconds_per_edit"] is None


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "no method is named"),
        (["--methods", "rom"], 1, "no method 'rom'"),
        (["--methods", "rome,rome"], 2, "two variants are called 'rome'"),
        (["--methods", "rome", "--set", "memit.steps=3"], 2, "names no variant"),
        (["--methods", "rome", "--set", "steps=3"], 2, "names no variant"),
        (["--methods", "rome", "--set", "rome.stepps=3"], 2, "no parameter 'stepps'"),
        (["--variant", "a:rome,steps"], 2, "is no variant"),
        (["--variant", "A b:rome"], 2, "cannot be a name"),
        (["--methods", "rome", "--report", "a.pdf"], 2, "what kind of report"),
    ],
)
def test_bad_input_is_refused_before_anything_is_loaded(run, atlas_home, three, monkeypatch, words, code, message):
    def refuse(*_arguments, **_how):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("patchmgr.live.load.load_model", refuse)
    done = run("compare", "atlas", "--edits", three, *words)
    assert done.code == code
    assert message in done.err
