"""`patchmgr conflicts` on packages that need no model, and what `apply` and `plan` make of them."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.manager.manager import Manager
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.encodings.xor import xor_between
from patchmgr.request import EditRequest

DOWN = "layers.0.down.weight"


def edit(subject, target):
    return EditRequest(prompt="The capital of {} is", subject=subject, target_new=target)


def one_key(direction, *, scale=1.0):
    """A rank-one change that answers to one key, and that key."""
    key = np.eye(9, dtype=np.float32)[:, direction : direction + 1]
    return {DOWN: Factors(np.full((6, 1), scale, np.float32), np.ascontiguousarray(key.T))}, {"keys/0": key}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Packages in folders and in a registry: left and right contradict each other; loud writes at the key of left."""
    root = tmp_path_factory.mktemp("conflicts")
    base = make_checkpoint(root / "base")
    for seed, (name, request, key, scale) in enumerate(
        [
            ("left", edit("France", "Lyon"), 0, 1.0),
            ("right", edit("France", "Nice"), 1, 1.0),
            ("same", edit("France", "lyon"), 2, 1.0),
            ("loud", edit("Spain", "Seville"), 0, 3.0),
        ]
    ):
        deltas, state = one_key(key, scale=scale)
        make_package(root / name, base, name=name, seed=seed, deltas=deltas, state=state, requests=[request])
    replace_all(root, base)
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(root / "left"), str(root / "loud")])
    return root


def replace_all(root, base):
    from patchmgr.base.checkpoint import Checkpoint

    before = np.frombuffer(Checkpoint.read(base).read_bytes(DOWN), np.uint8)
    for seed, name in enumerate(("whole", "other")):
        after = before.copy()
        after[seed] ^= 1
        make_package(root / name, base, name=name, seed=20 + seed, deltas={DOWN: xor_between(before, after, "BF16")})


@pytest.fixture
def root(prepared, home):
    shutil.copytree(prepared / "home", home, dirs_exist_ok=True, symlinks=True)
    return prepared


def test_a_fact_with_two_answers_is_named_with_both_packages_and_the_exit_code_is_4(run, root):
    done = run("conflicts", root / "left", root / "right")
    assert done.code == 4
    assert "one fact, several answers: The capital of France is" in done.out
    assert "left@v1" in done.out and "Lyon" in done.out
    assert "right@v1" in done.out and "Nice" in done.out
    assert "1 real conflict(s)" in done.out


def test_packages_that_agree_are_told_and_no_conflict(run, root):
    done = run("conflicts", root / "left", root / "same")
    assert done.code == 0
    assert "claimed by several, who agree: The capital of France is" in done.out
    assert "0 real conflict(s)" in done.out


def test_a_model_is_looked_at_as_it_is_and_keys_that_others_move_are_named(run, root):
    done = run("conflicts", "tiny", "--json")
    found = done.json["conflicts"]
    assert done.code == 0
    assert (found["model"], found["packages"], found["n_real"]) == ("tiny", ["left@v1", "loud@v1"], 0)
    (left,) = [one for one in found["cross_talk"]["warnings"] if one["reference"] == "left@v1"]
    assert left["fact"] == "The capital of France is"
    assert left["others"] == [{"reference": "loud@v1", "ratio": pytest.approx(3.0)}]
    assert found["tensors"][0]["packages"] == ["left@v1", "loud@v1"]
    assert found["overlaps"][0]["rows"] == pytest.approx(1.0)
    assert "loud@v1 3.00" in run("conflicts", "tiny").out


def test_the_threshold_of_a_warning_can_be_set(run, root):
    warned = run("conflicts", "tiny", "--cross-talk", "2", "--json").json["conflicts"]["cross_talk"]["warnings"]
    assert [one["reference"] for one in warned] == ["left@v1"]  # loud does three times as much at left's key as left


def test_what_adding_would_bring_leaves_out_what_is_there(run, root):
    done = run("conflicts", "tiny", root / "right", "--json")
    found = done.json["conflicts"]
    assert done.code == 4
    assert found["added"] == ["right@v1"]
    assert [[claim["reference"] for claim in fact["claims"]] for fact in found["contradictions"]] == [
        ["left@v1", "right@v1"]
    ]
    assert found["cross_talk"]["warnings"] == []
    assert {name for one in found["overlaps"] for name in (one["first"], one["second"])} == {
        "left@v1",
        "loud@v1",
        "right@v1",
    }
    assert all("right@v1" in (one["first"], one["second"]) for one in found["overlaps"])


def test_two_packages_that_replace_one_tensor_are_a_real_conflict(run, root):
    done = run("conflicts", root / "whole", root / "other")
    assert done.code == 4
    assert "one only" in done.out
    assert run("conflicts", root / "whole", root / "left").code == 0


def test_apply_refuses_and_allows_and_plan_shows(run, root):
    refused = run("apply", "tiny", root / "right")
    assert refused.code == 4
    assert "left@v1 says 'The capital of France is' → 'Lyon', right@v1 says 'Nice'" in refused.err
    assert "--allow-conflicts" in refused.err
    planned = run("plan", "tiny", root / "right")
    assert planned.code == 0
    assert "conflict: left@v1 says 'The capital of France is' → 'Lyon', right@v1 says 'Nice'" in planned.out
    assert run("plan", "tiny", root / "right", "--json").json["plan"]["contradictions"]
    assert run("apply", "tiny", root / "right", "--allow-conflicts").code == 0
    assert run("conflicts", "tiny").code == 4
    assert (
        "conflict(left@v1 says 'The capital of France is' → 'Lyon', right@v1 says 'Nice')" in run("audit", "tiny").out
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["left"], 2, "two packages"),
        (["left", "tiny"], 2, "is a model"),
        (["nothing", "left"], 1, "nothing"),
        (["tiny", "--run", "--device", "toaster"], 2, "no device"),
    ],
)
def test_what_cannot_be_looked_at_is_said(run, root, words, code, says):
    done = run("conflicts", *words)
    assert (done.code, says in done.err) == (code, True), done.err


def test_packages_for_two_bases_are_never_together(run, root, tmp_path):
    base = make_checkpoint(tmp_path / "base", seed=5)
    make_package(tmp_path / "far", base, name="far")
    done = run("conflicts", tmp_path / "far", "left")
    assert done.code == 5
    assert "far@v1" in done.err and "left@v1" in done.err


def test_packages_whose_base_is_no_model_here_cannot_be_run(run, root, tmp_path):
    base = make_checkpoint(tmp_path / "base", seed=5)
    for seed, name in enumerate(("far", "away")):
        make_package(tmp_path / name, base, name=name, seed=seed)
    done = run("conflicts", tmp_path / "far", tmp_path / "away", "--run")
    assert done.code == 1
    assert "patchmgr model add" in done.err
    assert run("conflicts", tmp_path / "far", tmp_path / "away").code == 0


def test_nothing_heavy_is_loaded_to_compare_what_is_stored(root):
    code = (
        "import sys\nfrom patchmgr.cli.main import main\n"
        "sys.argv = ['patchmgr', 'conflicts', 'tiny']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiny: 2 package(s)" in done.stdout
