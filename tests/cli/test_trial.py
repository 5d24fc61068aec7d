"""``generate --with``: packages are tried on a model that stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli.conftest import everything
from patchmgr.manager.manager import Manager


def test_generate_with_tries_a_package_and_changes_nothing(atlas_home, run, request_line):
    prompt = request_line["prompt"].format(request_line["subject"])
    before = everything(atlas_home)
    tried = run("generate", "atlas", prompt, "--with", "fact-fixes@v1", "--compare", "--json").json["answer"]
    assert tried["text"].strip().startswith(request_line["target_new"])
    assert tried["base_text"].strip().startswith(request_line["target_true"])
    assert (tried["stack"], tried["trial"]) == (["fact-fixes@v1"], True)
    plain = run("generate", "atlas", prompt, "--json").json["answer"]
    assert plain["text"].strip().startswith(request_line["target_true"])
    assert (plain["stack"], plain["trial"]) == ([], False)
    assert everything(atlas_home) == before
    assert [event["action"] for event in run("audit", "atlas", "--json").json["events"]] == ["model-add", "edit"]

    shown = run("generate", "atlas", prompt, "--with", "fact-fixes", "--compare").out
    assert shown.splitlines()[1].startswith("with: ")
    assert run("apply", "atlas", "fact-fixes").code == 0
    assert run("generate", "atlas", prompt, "--json").json["answer"]["text"] == tried["text"]


def test_generate_answers_the_same_after_its_folder_is_gone(atlas_home, run, request_line):
    prompt = request_line["prompt"].format(request_line["subject"])
    run("apply", "atlas", "fact-fixes")
    before = run("generate", "atlas", prompt).out
    shutil.rmtree(Path(run("path", "atlas").out.strip()))
    assert run("generate", "atlas", prompt).out == before


def test_generate_with_a_package_that_does_not_fit_says_so(atlas_home, run, tmp_path):
    missing = run("generate", "atlas", "The capital of", "--with", "nothing@v1")
    assert (missing.code, missing.out) == (1, "")
    folder = run("generate", "atlas", "The capital of", "--with", f"{tmp_path}/nothing")
    assert folder.code == 1
    assert "there is no folder" in folder.err
    with Manager.open() as manager:
        assert manager.list_packages()[0].name == "fact-fixes"
