"""The whole road on the demo base, by the real command: edit, show, plan, apply, ask, revert, audit."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from checkpoints import file_digests
from patchmgr.cli import complete
from patchmgr.demo.bases import demo_folder


def test_the_whole_road(run, home, edits_file, request_line):
    prompt = request_line["prompt"].replace("{}", request_line["subject"])

    added = run("model", "add", "atlas", "demo:atlas")
    assert added.code == 0
    assert "fingerprint" in added.out

    edited = run("edit", "atlas", "--name", "fact-fixes", "--method", "rome", "--edits", edits_file, "-m", "moved")
    assert edited.code == 0
    assert "fact-fixes@v1" in edited.out
    assert "reliability" in edited.out

    shown = run("show", "fact-fixes@v1", "--json").json
    assert shown["manifest"]["message"] == "moved"
    assert shown["manifest"]["parent"]["packages"] == []
    assert {(s["metric"], s["protocol"]) for s in shown["scores"]} >= {("reliability", "tf"), ("exact_match", "gen")}
    assert run("list", "--json").json["packages"][0]["name"] == "fact-fixes"
    assert [e["action"] for e in run("log", "atlas", "--json").json["entries"]] == ["add"]

    planned = run("plan", "atlas", "fact-fixes@v1", "--json").json["plan"]
    assert planned["written_files"] == ["model.safetensors"]
    applied = run("apply", "atlas", "fact-fixes@v1")
    assert applied.code == 0
    assert "generation 1 (+fact-fixes@v1)" in applied.out

    answer = run("generate", "atlas", prompt, "--compare", "--json").json["answer"]
    assert answer["base_text"].strip().startswith(request_line["target_true"])
    assert answer["text"].strip().startswith(request_line["target_new"])
    assert run("status", "atlas", "--json").json["models"][0]["stack"][0]["reference"] == "fact-fixes@v1"
    assert run("show", "fact-fixes", "--json").json["applied_to"] == ["atlas"]
    assert run("model", "verify", "atlas").code == 0

    folder = Path(run("path", "atlas").out.strip())
    assert plain_answer(folder, prompt).strip().startswith(request_line["target_new"])

    assert run("revert", "atlas", "fact-fixes@v1").code == 0
    assert file_digests(Path(run("path", "atlas").out.strip())) == file_digests(demo_folder("atlas"))
    events = run("audit", "atlas", "--json").json["events"]
    assert [event["action"] for event in events] == ["model-add", "edit", "apply", "revert"]
    assert events[2]["scores"]
    assert run("audit", "verify").code == 0
    assert list((home / "tmp").iterdir()) == []


def plain_answer(folder: Path, prompt: str) -> str:
    """What transformers alone says, as any other program would ask."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt")
    made = model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    return tokenizer.decode(made[0, ids["input_ids"].shape[1] :])


def test_a_small_package(atlas_home, run):
    """``weights.safetensors`` of a one-edit ROME package is under 1.1 × (d_in + d_out) × 4 bytes + 4 kB."""
    manifest = run("show", "fact-fixes@v1", "--json").json["manifest"]
    (tensor,) = manifest["tensors"]
    assert manifest["files"]["weights.safetensors"]["size_bytes"] < 1.1 * sum(tensor["shape"]) * 4 + 4000


def test_edits_on_a_stack_are_sequential_and_guarded(atlas_home, run, tmp_path):
    run("apply", "atlas", "fact-fixes@v1")
    single = ("--prompt", "The capital of {} is", "--subject", "Peru", "--target", "Oslo")
    assert run("edit", "atlas", "--name", "second", *single).code == 0
    assert run("edit", "atlas", "--name", "alone", "--on", "base", *single).code == 0
    second, alone = (run("show", name, "--json").json["manifest"] for name in ("second", "alone"))
    assert len(second["parent"]["packages"]) == 1
    assert alone["parent"]["packages"] == []

    assert run("apply", "atlas", "second").code == 0
    refused = run("revert", "atlas", "fact-fixes")
    assert refused.code == 4
    assert "second@v1 was computed on what would be taken out" in refused.err
    assert run("revert", "atlas", "fact-fixes", "--cascade").code == 0
    missing = run("apply", "atlas", "second")
    assert missing.code == 4
    assert "computed on 1 package(s) that would not be in the stack" in missing.err
    assert run("apply", "atlas", "fact-fixes", "second", "alone").code == 0


def test_a_second_version_takes_the_place_of_the_first(atlas_home, run, edits_file):
    run("apply", "atlas", "fact-fixes@v1")
    assert run("edit", "atlas", "--name", "fact-fixes", "--on", "base", "--edits", edits_file, "--seed", 3).code == 0
    outcome = run("apply", "atlas", "fact-fixes", "--json").json["outcome"]
    assert (outcome["added"], outcome["removed"]) == (["fact-fixes@v2"], ["fact-fixes@v1"])
    assert run("log", "fact-fixes", "--json").json["entries"][0]["parent_version"] == 1


def test_applying_twice_changes_nothing(atlas_home, run):
    run("apply", "atlas", "fact-fixes@v1")
    again = run("apply", "atlas", "fact-fixes@v1")
    assert (again.code, "nothing to do" in again.out) == (0, True)


def test_dry_run_writes_nothing(atlas_home, run):
    before = run("log", "atlas").out
    assert run("apply", "atlas", "fact-fixes@v1", "--dry-run").code == 0
    edit = ("edit", "atlas", "--name", "fact-fixes", "--prompt", "{} is", "--subject", "Peru", "--target", "x")
    assert "would make fact-fixes@v2: 1 edit(s) by rome on the base" in run(*edit, "--dry-run").out
    assert run(*edit, "--set", "stpes=1", "--dry-run").code == 2
    assert run("log", "atlas").out == before
    run("apply", "atlas", "fact-fixes@v1")
    before = run("log", "atlas").out
    assert "change: -fact-fixes@v1" in run("revert", "atlas", "fact-fixes", "--dry-run").out
    assert "delete 1 generation" in run("model", "remove", "atlas", "--dry-run").out
    assert (run("log", "atlas").out, len(run("log", "fact-fixes", "--json").json["entries"])) == (before, 1)


def test_completion_offers_what_there_is(atlas_home):
    assert complete.models("at") == ["atlas"]
    assert complete.references("fact") == ["fact-fixes@v1"]
    assert complete.methods("ro") == ["rome"]


def test_the_same_edit_gives_the_same_weights(atlas_home, run, edits_file):
    run("edit", "atlas", "--name", "again", "--edits", edits_file)
    first, second = (run("show", name, "--json").json["manifest"] for name in ("fact-fixes", "again"))
    assert first["files"]["weights.safetensors"] == second["files"]["weights.safetensors"]
    assert first["tensors"] == second["tensors"]


def test_models_are_listed_shown_and_removed(atlas_home, run):
    assert run("model", "list", "--json").json["models"][0]["name"] == "atlas"
    assert "fingerprint" in run("model", "show", "atlas").out
    run("apply", "atlas", "fact-fixes@v1")
    assert run("model", "remove", "atlas", "--yes").code == 0
    assert not (atlas_home / "models" / "atlas").exists()
    assert run("status", "atlas").code == 1
    assert run("audit", "verify").code == 0
    assert run("model", "add", "atlas", "demo:atlas").code == 0
