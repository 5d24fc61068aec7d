"""``patchmgr stats``: made ahead, found by ``edit``, listed, shared, removed; what is wrong has its exit code."""

from __future__ import annotations

import json
import shutil

import pytest

from patchmgr.canonical import sha256_file
from patchmgr.manager.manager import Manager

TOKENS = "300"
SMALL = ("--tokens", TOKENS, "--layers", "0")


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        {"title": f"{i}", "body": f"City{i} lies in Land{i % 9}, and people there speak of it. "} for i in range(60)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"{path}#body"


@pytest.fixture
def atlas_home(atlas_home):
    """Without the statistics that the package in it was made with."""
    shutil.rmtree(atlas_home / "artefacts")
    return atlas_home


@pytest.fixture
def made(run, atlas_home, corpus):
    """One covariance of a corpus."""
    result = run("stats", "atlas", "--corpus", corpus, *SMALL, "--json")
    assert result.code == 0, result.err
    return result.json["statistics"][0]


def artefacts(home):
    return sorted(str(path) for path in (home / "artefacts").rglob("artefact.safetensors"))


def test_an_edit_finds_what_was_made_ahead_and_names_it_in_the_package(run, atlas_home, corpus, made, edits_file):
    before = artefacts(atlas_home)
    done = run("edit", "atlas", "--name", "x", "--edits", edits_file, "--corpus", corpus, "--method", "memit",
               "--set", f"statistics_tokens={TOKENS}", "--set", "steps=1", "--set", "context_count=0")  # fmt: skip
    assert done.code == 0, done.err
    assert artefacts(atlas_home) == before
    method = run("show", "x", "--json").json["manifest"]["method"]
    assert method["artefacts"] == {"covariance/0": made["digest"]}


def test_the_table_and_the_next_step(run, atlas_home, corpus, made):
    done = run("stats", "compute", "atlas", "--corpus", corpus, *SMALL, "--until", "0.999999")
    header, row = done.out.splitlines()
    assert header.split() == ["KIND", "TENSOR", "TOKENS", "D_IN", "DIFFERENCE", "AGREEMENT", "SIZE", "DIGEST"]
    assert row.split()[:4] == ["covariance", "transformer.h.0.mlp.c_proj.weight", str(made["tokens"]), "512"]
    assert "is short of 0.999999: read more" in done.err
    assert f"next: patchmgr edit atlas --method memit --corpus {corpus} --set statistics_tokens={TOKENS}" in done.err
    assert run("stats", "atlas", "--corpus", corpus, *SMALL, "-q").err == ""
    assert run("stats", "compute", "atlas", "--corpus", corpus, *SMALL, "--json").json["statistics"] == [made]


def test_the_dtype_is_in_the_key_and_in_the_next_step(run, atlas_home, made):
    done = run("stats", "atlas", "--tokens", "100", "--layers", "0", "--dtype", "bfloat16")
    assert "--dtype bfloat16" in done.err
    listed = run("stats", "list", "--json").json["statistics"]
    assert sorted(each["key"]["dtype"] for each in listed) == ["bfloat16", "float32"]


def test_all_bases_are_listed_with_their_models_and_one_may_be_asked_for(run, atlas_home, made):
    run("model", "add", "twin", "demo:atlas")
    (listed,) = run("stats", "list", "--json").json["statistics"]
    assert listed == {**made, "models": ["atlas", "twin"]}
    assert run("stats", "list", "twin", "--json").json["statistics"] == [listed]
    assert run("stats", "list").out.splitlines()[1].endswith("atlas, twin")
    assert run("stats", "list", "gone").code == 1


def test_exported_statistics_are_imported_elsewhere_and_used_without_the_text(
    run, atlas_home, made, tmp_path, monkeypatch, edits_file
):
    folder = tmp_path / "shared"
    assert run("stats", "export", "atlas", folder).code == 0
    assert sorted(path.name for path in folder.iterdir()) == [f"{made['digest']}.safetensors", "statistics.json"]
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path / "other"))
    run("model", "add", "mine", "demo:atlas")
    assert "would take in 1" in run("stats", "import", "mine", folder, "--dry-run").out
    assert run("stats", "list", "--json").json["statistics"] == []
    assert run("stats", "import", "mine", folder).code == 0
    (listed,) = run("stats", "list", "mine", "--json").json["statistics"]
    assert listed == {**made, "models": ["mine"]}
    done = run("edit", "mine", "--name", "x", "--edits", edits_file, "--corpus", folder, "--method", "memit",
               "--set", "steps=1", "--set", "context_count=0")  # fmt: skip
    assert done.code == 0, done.err
    artefacts = run("show", "x", "--json").json["manifest"]["method"]["artefacts"]
    assert artefacts == {"covariance/0": made["digest"]}


def test_equal_statistics_are_exported_as_equal_bytes(run, atlas_home, made, tmp_path):
    for name in ("one", "two"):
        run("stats", "export", "atlas", tmp_path / name)
    assert len({sha256_file(tmp_path / name / "statistics.json") for name in ("one", "two")}) == 1


def test_statistics_of_another_base_are_refused_with_5(run, atlas_home, made, tmp_path):
    run("stats", "export", "atlas", tmp_path / "shared")
    with Manager.open(atlas_home) as manager:
        base = manager.registry.model("atlas").base.folder
    shutil.copytree(base, tmp_path / "other-base")
    config = json.loads((tmp_path / "other-base" / "config.json").read_text())
    (tmp_path / "other-base" / "config.json").write_text(json.dumps({**config, "note": 1}))
    assert run("model", "add", "other", tmp_path / "other-base").code == 0
    done = run("stats", "import", "other", tmp_path / "shared")
    assert done.code == 5
    assert "the statistics are of demo:atlas" in done.err


@pytest.mark.parametrize(
    "damage", ["a byte", "missing", "link", "no json", "unknown field", "path", "another state", "no tensors"]
)
def test_a_damaged_folder_is_refused_with_6_and_nothing_is_taken_in(run, atlas_home, made, tmp_path, damage):
    folder = tmp_path / "shared"
    run("stats", "export", "atlas", folder)
    run("stats", "remove", made["digest"])
    (file,) = folder.glob("*.safetensors")
    manifest = folder / "statistics.json"
    value = json.loads(manifest.read_text())
    entry = value["artefacts"][0]
    if damage == "a byte":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif damage == "missing":
        file.unlink()
    elif damage == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif damage == "no json":
        manifest.write_text("{")
    else:
        if damage == "unknown field":
            value["code"] = "x"
        elif damage == "path":
            entry["file"] = "../../registry.db"
        elif damage == "another state":
            entry["key"]["state_root"] = "d" * 64
        else:
            file.write_bytes(b"no")
            entry["sha256"] = sha256_file(file)
        manifest.write_text(json.dumps(value))
    done = run("stats", "import", "atlas", folder)
    assert done.code == 6, done.err
    assert run("stats", "list", "--json").json["statistics"] == []


def test_some_are_exported_or_removed_by_their_digests(run, atlas_home, made, tmp_path):
    run("stats", "atlas", "--tokens", "200", "--layers", "0-1", "--seed", "3")
    assert len(run("stats", "list", "--json").json["statistics"]) == 3
    assert run("stats", "export", "atlas", tmp_path / "one", "--only", made["digest"][:9]).code == 0
    assert len(list((tmp_path / "one").glob("*.safetensors"))) == 1
    assert "would remove 1" in run("stats", "remove", made["digest"][:9], "--dry-run").out
    assert run("stats", "remove", made["digest"][:9]).code == 0
    assert len(run("stats", "list", "--json").json["statistics"]) == 2
    assert run("stats", "remove", made["digest"][:9]).code == 1
    assert run("stats", "remove", "../x").code == 2


def test_damaged_statistics_are_made_again_and_not_exported(run, atlas_home, corpus, made, tmp_path):
    (path,) = (atlas_home / "artefacts").rglob("artefact.safetensors")
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert run("stats", "export", "atlas", tmp_path / "shared").code == 6
    assert not (tmp_path / "shared").exists()
    again = run("stats", "atlas", "--corpus", corpus, *SMALL, "--json").json["statistics"]
    assert again == [made]
    assert run("stats", "export", "atlas", tmp_path / "shared").code == 0
    assert run("stats", "export", "atlas", tmp_path / "shared").code == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("atlas", "--layers", "x"), 2, "'x' are no layers"),
        (("atlas", "--layers", "9"), 1, "layer 9 is out of range"),
        (("atlas", "--until", "2"), 2, "until is 2"),
        (("atlas", "--set", "layers=1"), 2, "name one by --method"),
        (("atlas", "--method", "memit", "--set", "layer=1"), 2, "memit has no parameter 'layer'"),
        (("atlas", "--device", "toaster"), 2, "'toaster' is no device"),
        (("atlas", "--method", "nothing"), 1, "there is no method 'nothing'"),
        (("atlas", "--kind", "nothing"), 1, "there is no kind of statistics 'nothing'"),
        (("atlas", "--corpus", "gone.txt"), 1, "there is no corpus file"),
        (("gone",), 1, "gone"),
        (("export", "atlas", "nowhere"), 1, "there are no statistics of atlas"),
        (("import", "atlas", "nowhere"), 1, "there are no statistics at nowhere"),
    ],
)
def test_what_cannot_be_is_said(run, atlas_home, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    done = run("stats", *words)
    assert (done.code, message in done.err) == (code, True), done.err
