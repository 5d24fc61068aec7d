"""``patchmgr lock`` and ``sync`` as commands: what they print, and how they end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.manager.manager import Manager


@pytest.fixture
def project(home, tmp_path, monkeypatch):
    """A folder with the base, and a home with ``prod`` and a package a@v1 that is applied."""
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "a", base, name="a", seed=1)
    with Manager.open() as manager:
        manager.add_model("prod", str(base))
        manager.apply("prod", [str(tmp_path / "a")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_lock_check_revert_sync(run, project):
    done = run("lock", "--from", "prod")
    assert (done.code, done.out) == (0, "prod: new\nprod: +a@v1\npatches.toml and patches.lock written\n")
    assert run("lock", "--check").code == 0
    root = run("status", "prod", "--json").json["models"][0]["state_root"]
    run("revert", "prod", "a")
    planned = run("sync", "--dry-run", "--json").json["plans"]["prod"]
    assert planned["added"] == ["a@v1"]
    synced = run("sync", "-m", "again")
    assert synced.code == 0
    assert "prod: generation 3 (+a@v1), linked, nothing written" in synced.out
    assert run("status", "prod", "--json").json["models"][0]["state_root"] == root
    assert run("sync").out == "prod is at generation 3 already: nothing to do\n"
    assert run("log", "prod", "--json").json["entries"][0]["action"] == "sync"
    assert "+a@v1" in run("audit", "prod", "--limit", "1").out


def test_a_lock_that_is_out_of_date_ends_with_1(run, project):
    run("lock", "--from", "prod")
    (project / "patches.toml").write_text("[models.prod]\npackages = []\n")
    checked = run("lock", "--check", "--json")
    assert (checked.code, checked.json["written"], checked.json["changes"]) == (1, False, ["prod: -a@v1"])
    stale = run("sync")
    assert stale.code == 1
    assert "out of date: prod: a@==1 is not wanted any more" in stale.err
    assert run("lock", "--dry-run").out == "prod: -a@v1\nnothing written\n"
    assert run("lock", "--project", project).code == 0
    assert run("sync", "--project", project, "--json").json["outcomes"][0]["removed"] == ["a@v1"]


@pytest.mark.parametrize(
    "words",
    [("--from", "prod", "--upgrade"), ("--from", "prod", "--check"), ("--check", "--upgrade"), ("--check", "-n")],
)
def test_options_that_contradict_each_other(run, project, words):
    assert run("lock", *words).code == 2


def test_neither_needs_torch(project):
    """In a process of its own, since these tests have it."""
    code = (
        "import sys; from patchmgr.cli.main import main\n"
        "for words in (['lock', '--from', 'prod'], ['lock', '--check'], ['sync']):\n"
        "    sys.argv = ['patchmgr', *words]\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert not stop.code, words\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project, capture_output=True)


def test_gates_are_measured_on_the_locked_state_before_anything_changes(run, atlas_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("apply", "atlas", "fact-fixes@v1")
    run("lock", "--from", "atlas")
    run("revert", "atlas", "fact-fixes")
    refused = run("sync", "--require", "reliability>=1.5")
    assert refused.code == 3
    assert "atlas is as it was" in refused.err
    assert run("status", "atlas", "--json").json["models"][0]["generation"] == 2
    assert run("sync", "--require", "reliability>=0.5").code == 0
    assert run("status", "atlas", "--json").json["models"][0]["stack"][0]["reference"] == "fact-fixes@v1"
    assert run("sync", "--require", "reliability>=0.5", "--dry-run").code == 2
