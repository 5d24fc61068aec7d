"""The commands that share, on a real package of the demo base: as an author, a stranger, and a user of PEFT alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import atlas_home, prepared, request_line, run  # noqa: F401 (fixtures)
from patchmgr.manager.manager import Manager

REPO = "alice/fact-fixes"


@pytest.fixture
def published(hub, as_user, atlas_home, run):  # noqa: F811
    """The package of the prepared home, on the Hub and public."""
    as_user("alice")
    done = run("push", "fact-fixes@v1", REPO, "--public")
    assert done.code == 0, done.err
    assert done.out.startswith(f"published fact-fixes@v1 as {REPO}@v1")
    assert "with a PEFT adapter" in done.out
    return atlas_home


def test_a_stranger_looks_at_a_package_tries_it_and_applies_it(published, hub, as_user, tmp_path, monkeypatch, run):  # noqa: F811
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path / "stranger"))
    as_user("bob")
    assert run("model", "add", "atlas", "demo:atlas").code == 0
    assert REPO in run("search", "--remote", "fact").out
    shown = run("show", f"{REPO}@v1", "--json").json
    assert shown["manifest"]["name"] == "fact-fixes"
    line = json.loads(run("show", f"{REPO}@v1", "--edits").out)
    prompt = line["prompt"].format(line["subject"])
    assert line["target_new"] in run("generate", "atlas", prompt, "--with", f"{REPO}@v1").out
    assert run("list").out.count("fact-fixes") == 0
    applied = run("apply", "atlas", f"{REPO}@v1")
    assert applied.code == 0, applied.err
    assert line["target_new"] in run("generate", "atlas", prompt).out
    assert run("pull", REPO, "--json").json["pulled"]["was_there"]
    assert "the newest there is" in run("outdated").out
    assert run("revert", "atlas", "fact-fixes").code == 0
    assert list((tmp_path / "stranger" / "tmp").iterdir()) == []


def test_a_user_of_peft_needs_no_patchmgr(published, hub, as_user):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from patchmgr.demo.bases import demo_folder

    with Manager.open(published) as manager:
        manager.apply("atlas", ["fact-fixes@v1"])
        patched = manager.load("atlas", dtype="float32").model
    base = AutoModelForCausalLM.from_pretrained(demo_folder("atlas"), dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, REPO, revision="v1")
    tokens = torch.arange(3, 40).reshape(1, -1)
    with torch.no_grad():
        expected, found = patched(tokens).logits, adapted(tokens).logits
    # the state is rounded to bf16 once, the adapter is not
    assert (expected - found).abs().max() < 0.05 * expected.abs().max()
    assert (expected.argmax(-1) == found.argmax(-1)).float().mean() > 0.9


def test_the_hub_s_own_command_downloads_a_package(published, hub, tmp_path):
    words = [Path(sys.executable).parent / "hf", "download", REPO, "--revision", "v1", "--local-dir", tmp_path / "got"]
    done = subprocess.run(
        words, capture_output=True, text=True, env=hub.environment("bob", tmp_path / "hf"), check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "got").iterdir()} >= {"patch.json", "weights.safetensors", "README.md"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("push", "fact-fixes@v1", "nonsense"), 2, "'nonsense' is no repository of the Hub"),
        (("push", "fact-fixes@v1", "alice/x@v2"), 2, "write org/name"),
        (("push", "absent@v1", REPO), 1, "there is no package 'absent'"),
        (("push", "fact-fixes@v1", "org/there"), 1, "may not do that"),
        (("pull", "alice/nothing"), 1, "the Hub has no repository 'alice/nothing'"),
        (("pull", f"{REPO}@v7"), 1, "no version of alice/fact-fixes is v7; there is v1"),
        (("pull", f"{REPO}@*3"), 2, "says no versions of"),
        (("pull", "fact-fixes"), 2, "does not name a repository"),
        (("apply", "atlas", "org/plain@main"), 1, "has no patch.json"),
        (("search", "--remote", "--package", "x"), 2, "exclude each other"),
        (("search",), 2, "nothing to look for"),
    ],
)
def test_misuse_is_said_in_words(published, hub, as_user, run, words, code, message):  # noqa: F811
    hub.add_repo("org/plain", {"config.json": b"{}"})
    hub.add_repo("org/there", {"README.md": b"# there"})
    as_user("bob")
    done = run(*words)
    assert done.code == code, done.err
    assert message in done.err.replace("\n  ", "; ")
