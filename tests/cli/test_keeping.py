"""``backup``, ``restore`` and ``forget`` by their commands, on the demo base."""

from __future__ import annotations

from pathlib import Path


def test_a_registry_is_backed_up_and_restored_elsewhere(run, atlas_home, tmp_path, tmp_path_factory, monkeypatch):
    assert run("apply", "atlas", "fact-fixes").code == 0
    root = run("status", "atlas", "--json").json["models"][0]["state_root"]
    place = tmp_path / "copy.tar"
    assert run("backup", place, "--dry-run").out.startswith("would copy")
    assert not place.exists()
    done = run("backup", place, "--json").json["backup"]
    assert Path(done["place"]) == place and done["digest"]
    again = run("backup", place)
    assert (again.code, "something at" in again.err) == (4, True)
    assert run("restore", place).code == 4
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path_factory.mktemp("elsewhere")))
    told = run("restore", place)
    assert told.code == 0, told.err
    assert "atlas: generation 1" in told.out
    assert run("status", "atlas", "--json").json["models"][0]["state_root"] == root
    assert run("fsck", "--full").code == 0
    assert run("audit", "verify").code == 0


def test_a_version_is_forgotten_and_told_of_afterwards(run, atlas_home, request_line, tmp_path):
    assert run("apply", "atlas", "fact-fixes").code == 0
    assert run("forget", "fact-fixes").code == 2
    refused = run("forget", "fact-fixes", "--reason", "request 7")
    assert (refused.code, "--revert" in refused.err) == (4, True)
    told = run("forget", "fact-fixes", "--reason", "request 7", "--revert", "--dry-run")
    assert told.out.startswith("would forget fact-fixes@v1")
    assert run("show", "fact-fixes").out.startswith("package     fact-fixes@v1  (")
    done = run("forget", "fact-fixes", "--reason", "request 7", "--revert", "--json")
    assert done.json["forgotten"]["reverted"] == ["atlas"]
    shown = run("show", "fact-fixes@v1")
    assert shown.code == 0
    assert "request 7" in shown.out and "forgotten" in shown.out
    assert run("show", "fact-fixes@v1", "--json").json["forgotten"]["reason"] == "request 7"
    assert (run("list", "--json").json["packages"], run("search", request_line["subject"], "--json").code) == ([], 0)
    applied = run("apply", "atlas", "fact-fixes@v1")
    assert (applied.code, "was forgotten by" in applied.err) == (1, True)
    assert run("audit", "verify").code == 0
    assert run("fsck", "--full").code == 0
