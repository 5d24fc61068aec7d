"""``patchmgr train`` and ``patchmgr editor``: an editor is made, used by an edit, shared and forgotten."""

from __future__ import annotations

import json

import pytest

from patchmgr.demo.edits import edit_requests

FEW = ("--set", "steps=2", "--set", "validate_every=1", "--set", "counterfactual=base", "--keep-back", "0.3")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    path.write_text("".join(json.dumps(request) + "\n" for request in edit_requests(14, seed=5)))
    return path


def test_an_editor_from_its_training_to_its_end(run, atlas_home, data, edits_file, tmp_path):
    edit = ("edit", "atlas", "--name", "kb", "--method", "serac", "--edits", edits_file)
    assert run(*edit).code == 2
    would = run("train", "serac", "atlas", "--data", data, "--name", "scope", *FEW, "--dry-run", "--json").json
    assert (would["reference"], would["resumes"]) == ("scope@v1", False)
    done = run("train", "serac", "atlas", "--data", data, "--name", "scope", *FEW)
    assert done.code == 0, done.err
    assert "step 2: " in done.err
    assert "next: patchmgr edit MODEL --name NAME --method serac --editor scope@v1 --edits FILE" in done.err
    (listed,) = run("editor", "list", "--json").json["editors"]
    shown = run("editor", "show", "scope", "--json").json["editor"]
    assert shown["digest"] == listed["digest"]
    assert shown["training"]["n"] == would["n_training"]
    assert "scope@v1" in run("audit").out

    missing = run(*edit)
    assert (missing.code, "give --editor scope@v1" in missing.err) == (2, True)
    assert run(*edit, "--editor", "scope").code == 0
    assert run("show", "kb", "--json").json["manifest"]["method"]["artefacts"] == {"editor": listed["digest"]}
    added = run("edit", "atlas", "--name", "kb", "--method", "serac", "--prompt", "{} is in", "--subject", "Rome",
                "--target", "Gaul")  # fmt: skip
    assert added.code == 0, added.err
    assert run("show", "kb", "--json").json["manifest"]["method"]["artefacts"] == {"editor": listed["digest"]}

    assert run("editor", "export", "scope", tmp_path / "scope").code == 0
    assert run("editor", "remove", "scope").code == 2
    assert run("editor", "remove", "scope@v1", "--dry-run").out.startswith("would remove scope@v1")
    assert run("editor", "remove", "scope@v1").code == 0
    assert run("generate", "atlas", "--with", "kb", "Rome is in").code == 0
    assert run("editor", "import", tmp_path / "scope").out.startswith("took in scope@v1")
    assert run("editor", "show", "scope@v1").code == 0


def test_the_parameters_of_a_training_are_listed_with_those_of_the_method(run):
    shown = run("methods", "serac").out
    assert shown.index("PARAMETER") < shown.index("candidates") < shown.index("OF TRAINING") < shown.index("patience")
    schemas = {method["name"]: method["training"] for method in run("methods", "--json").json["methods"]}
    assert "patience" in schemas["serac"]["properties"]
    assert schemas["rome"] is None


def test_what_is_asked_wrongly_is_said(run, atlas_home, data, edits_file):
    assert run("train", "rome", "atlas", "--data", data, "--name", "x").code == 2
    wrong = run("train", "serac", "atlas", "--data", data, "--name", "x", "--set", "stepz=3", "--dry-run")
    assert (wrong.code, "no parameter 'stepz'" in wrong.err) == (2, True)
    useless = run("edit", "atlas", "--name", "y", "--editor", "x", "--edits", edits_file)
    assert (useless.code, "rome uses no editor" in useless.err) == (2, True)
    assert run("editor", "show", "nothing").code == 1
