"""``patchmgr edit --continue``, and the options of device and precision, on the demo base."""

from __future__ import annotations

import json

from patchmgr.demo.edits import edit_requests

QUICK = ("--set", "statistics=identity", "--set", "steps=3", "--set", "context_count=1")


def test_a_version_is_continued_and_replaced_by_the_next(run, atlas_home, edits_file, request_line, tmp_path):
    run("apply", "atlas", "fact-fixes")
    more = tmp_path / "more.jsonl"
    other = edit_requests(1, seed=8)[0]
    again = {**request_line, "target_new": other["target_new"]}
    more.write_text("".join(json.dumps(line) + "\n" for line in (other, again)))
    words = ("edit", "atlas", "--continue", "fact-fixes@v1", "--edits", more, *QUICK)
    preview = run(*words, "--dry-run")
    assert preview.out.startswith("would make fact-fixes@v2: 2 edit(s) by rome on the base")
    assert "1 edit(s) of fact-fixes@v1 replaced by new ones" in preview.err
    made = run(*words)
    assert made.code == 0
    assert made.out.startswith("fact-fixes@v2  2 edit(s)")
    assert "replaced by new ones" in made.err
    assert run("apply", "atlas", "fact-fixes").code == 0
    status = run("status", "atlas").out
    assert "fact-fixes@v2" in status
    assert "fact-fixes@v1" not in status


def test_what_excludes_each_other_is_said(run, atlas_home, edits_file):
    words = ("edit", "atlas", "--edits", edits_file)
    assert (run(*words).code, "the package has no name" in run(*words).err) == (2, True)
    both = run(*words, "--continue", "fact-fixes", "--on", "base")
    assert both.code == 2
    assert "--on and --continue exclude each other" in both.err
    renamed = run(*words, "--continue", "fact-fixes", "--name", "other")
    assert renamed.code == 2
    assert "is continued as 'fact-fixes'" in renamed.err


def test_precision_and_device_are_options(run, atlas_home, edits_file):
    words = ("edit", "atlas", "--name", "narrow", "--edits", edits_file, *QUICK)
    made = run(*words, "--dtype", "bfloat16", "--json")
    assert {score["compute_dtype"] for score in made.json["scores"]} == {"bfloat16"}
    missing = run(*words, "--device", "cuda:9")
    assert missing.code == 2
    assert "this machine has no device 'cuda:9'" in missing.err
    assert run(*words, "--device", "gpu", "--dry-run").code == 2
