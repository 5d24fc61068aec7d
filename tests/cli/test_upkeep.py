"""fsck, verify and du by the real command: what is printed, and the exit code."""

from __future__ import annotations

import shutil

import pytest

from checkpoints import make_checkpoint, make_package


@pytest.fixture
def tiny(run, home, tmp_path):
    """A home with the model ``tiny`` and the package ``random@v1`` on it; the base's folder."""
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    assert run("apply", "tiny", tmp_path / "p").code == 0
    return base


def flip(file) -> None:
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_fsck_of_a_whole_home(run, tiny):
    result = run("fsck")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "checked: database 1, events 3, packages 1, blobs 2, bases 1, generations 2, links 1",
        "all is well",
    ]
    assert run("fsck", "--full", "--json", "-q").json["fsck"] == {
        "n_checked": {"database": 1, "events": 3, "package": 1, "blob": 2, "base": 1, "generation": 2, "link": 1},
        "problems": [], "mended": [], "busy": [], "garbage_bytes": 0,
    }  # fmt: skip


def test_fsck_prints_every_problem_and_then_exits_with_6(run, home, tiny):
    flip(tiny / "model.safetensors")
    shutil.rmtree(home / "models" / "tiny" / "generations" / "1")
    (home / "models" / "tiny" / "current").unlink()
    (home / "blobs" / "sha256" / "incoming" / "x").write_bytes(b"1234")
    result = run("fsck")
    assert (result.code, result.err) == (6, "")
    lines = result.out.splitlines()
    assert lines[0].startswith("base tiny: the base of tiny has changed: 'norm.weight' was ")
    assert lines[1].startswith("  bring it back as it was")
    assert lines[2].startswith("generation tiny/1: generation 1 of tiny is no longer at ")
    assert lines[3] == "  `patchmgr rollback tiny 1` makes it again from the base"
    assert lines[4].startswith("mended: the link current of tiny was missing; it points to ")
    assert lines[5].startswith("checked: ")
    assert lines[6:] == ["garbage: 4 B of blobs without a package (`patchmgr gc`)", "2 problem(s)"]
    result = run("fsck", "--json")
    assert result.code == 6
    assert [problem["object"] for problem in result.json["fsck"]["problems"]] == ["tiny", "tiny/1"]


def test_verify_a_model_and_a_package(run, tiny, tmp_path):
    assert run("verify", "tiny").out == run("model", "verify", "tiny").out == "tiny: 4 tensors, 360 B: as registered\n"
    result = run("verify", "random@v1")
    assert result.code == 0
    whole, signature, proved = result.out.splitlines()
    assert signature == "signature: none"
    assert whole.startswith("random@v1: 3 files, ")
    assert whole.endswith(": whole; 1 edit(s), 0 score(s), 2 tensor(s)")
    assert proved == f"proved on {tiny}: 2 tensor(s) become what the package says"
    as_json = run("verify", tmp_path / "p", "--json").json
    assert (as_json["kind"], as_json["verified"]["proof"]["missing"]) == ("package", None)
    shutil.rmtree(tiny)
    result = run("verify", "random")
    assert result.code == 0
    assert "not proved what it does: its base at" in result.out


def test_verify_says_when_a_name_means_two_things(run, tiny):
    run("model", "add", "random", tiny)
    result = run("verify", "random")
    assert "as registered" in result.out
    assert result.err == "there is a package random too: `patchmgr verify random@latest` verifies that\n"
    assert run("verify", "random", "--quiet").err == ""
    assert run("verify", "random", "--json").json["verified"]["also_package"] is True
    assert run("verify", "random@latest").out.startswith("random@v1: ")


def test_verify_fails_with_6_and_an_unknown_name_with_1(run, home, tiny, tmp_path):
    flip(home / "models" / "tiny" / "generations" / "1" / "model.safetensors")
    result = run("verify", "tiny")
    assert (result.code, "generation 1 of tiny has changed" in result.err) == (6, True)
    flip(tmp_path / "p" / "weights.safetensors")
    result = run("verify", tmp_path / "p", "--json")
    assert (result.code, result.json["error"]["kind"]) == (6, "integrity")
    assert run("verify", "nothing").code == 1


def test_du_is_a_table_with_a_sum(run, home, tiny):
    lines = run("du").out.splitlines()
    assert lines[0].split() == ["WHAT", "NAME", "FILES", "SIZE", "ON", "DISK"]
    kinds = [line.split("  ")[0] for line in lines[1:-2]]
    assert kinds == ["base", "generation", "package", "unused blobs", "artefacts", "trainings", "cache", "registry"]
    assert lines[2].endswith("current")
    assert " in the home, " in lines[-1]
    found = run("du", "tiny", "--json").json["du"]
    assert [(row["kind"], row["name"]) for row in found["rows"]] == [
        ("base", "base"), ("generation", "tiny/1"), ("package", "random@v1"),
    ]  # fmt: skip
    assert found["home_bytes"] == sum(row["own_bytes"] for row in found["rows"][1:])
    assert run("du", "nothing").code == 1
