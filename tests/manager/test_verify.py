"""verify reads one thing to the last byte, and proves of a package what can be proved here."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from manager.conftest import SHARDS, flip
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.manager.manager import Manager


def rewrite(folder, change) -> None:
    """Change the manifest of a package in a folder, in canonical form."""
    manifest = json.loads((folder / "patch.json").read_bytes())
    change(manifest)
    (folder / "patch.json").write_bytes(canonical_json(manifest))


def sequential(stocked, folder, *, seed=5):
    """A package that says of itself that it was computed on p1, on the first shard's tensor; its manifest is right."""
    manager, (name, *_) = stocked.manager, EDITABLE
    manifest = make_package(folder, stocked.base, name="later", seed=seed, tensors=(name,))
    p1 = manager.registry.version("p1@v1").digest
    manager.rollback("tiny", 1)
    below = manager.registry.generation("tiny")
    manager.apply("tiny", [str(folder)])
    above = manager.registry.generation("tiny")
    manager.revert("tiny", ["later"])
    assert manifest.tensors[0].after_sha256 != above.tensors[name]

    def on_p1(value):
        value["version"] = 2
        value["parent"] = {"root": below.state_root, "packages": [p1]}
        value["tensors"][0] |= {"before_sha256": below.tensors[name], "after_sha256": above.tensors[name]}

    rewrite(folder, on_p1)


# Models


def test_a_model_is_read_whole(stocked):
    verified = stocked.manager.verify("tiny")
    assert (verified.model, verified.tensors, verified.also_package) == ("tiny", 4, False)
    assert verified == stocked.manager.verify_model("tiny")


@pytest.mark.parametrize("where", ["base", "generation"])
def test_a_byte_that_the_cache_hides_is_found_and_then_known(stocked, where):
    stocked.manager.fsck()
    shard = (stocked.base if where == "base" else stocked.generation(3)) / SHARDS[0]
    before = shard.stat()
    flip(shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(IntegrityError, match=f"{where}.* of tiny has changed|the base of tiny has changed"):
        stocked.manager.verify("tiny")
    assert [problem.kind for problem in stocked.manager.fsck().problems] == [where]


def test_a_name_of_both_is_the_model_and_the_package_has_a_name_too(stocked, tmp_path):
    stocked.manager.add_model("p1", str(stocked.base))
    assert stocked.manager.verify("p1").also_package
    assert stocked.manager.verify("p1@latest").reference == "p1@v1"


def test_an_unknown_name_offers_models_and_packages(stocked):
    with pytest.raises(NotFoundError) as missing:
        stocked.manager.verify("tine")
    assert missing.value.hint == "did you mean the model tiny?"
    with pytest.raises(NotFoundError, match="no package 'p3'"):
        stocked.manager.verify("p3")


# Packages


def test_a_parallel_package_is_proved_on_its_base(stocked):
    verified = stocked.manager.verify("p1")
    assert (verified.n_files, verified.n_edits, verified.n_scores, verified.n_deltas) == (3, 1, 0, 2)
    assert verified.digest == stocked.manager.registry.version("p1").digest
    assert (verified.proof.tensors, verified.proof.base, verified.proof.missing) == (EDITABLE, str(stocked.base), None)


def test_a_package_in_a_folder_is_proved_as_well(stocked, tmp_path):
    make_package(tmp_path / "q", stocked.base, name="q", seed=9)
    assert stocked.manager.verify(str(tmp_path / "q")).proof.tensors == EDITABLE


def test_a_sequential_package_is_proved_on_the_sum_of_its_parents(stocked, tmp_path):
    sequential(stocked, tmp_path / "later")
    proof = stocked.manager.verify(str(tmp_path / "later")).proof
    assert (proof.tensors, proof.missing) == (EDITABLE[:1], None)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["parallel", "sequential"])
def test_a_package_that_lies_about_a_tensor_is_refused(stocked, tmp_path, kind, moment):
    if kind == "parallel":
        make_package(tmp_path / "q", stocked.base, name="q", seed=9)
    else:
        sequential(stocked, tmp_path / "q")
    rewrite(tmp_path / "q", lambda value: value["tensors"][-1].update({f"{moment}_sha256": "0" * 64}))
    with pytest.raises(IntegrityError, match=f"has digest .* {moment} the package, patch.json says 000000000000…"):
        stocked.manager.verify(str(tmp_path / "q"))


def test_what_cannot_be_proved_here_is_said(stocked, tmp_path):
    other = make_checkpoint(tmp_path / "other", seed=7)
    make_package(tmp_path / "q", other, name="q")
    proof = stocked.manager.verify(str(tmp_path / "q")).proof
    assert proof.tensors == ()
    assert proof.missing.startswith("its base tiny (")
    assert proof.missing.endswith(") is not registered here")

    rewrite(tmp_path / "q", lambda value: value["parent"].update({"packages": ["ab" * 32]}))
    proof = stocked.manager.verify(str(tmp_path / "q")).proof
    assert proof.missing == "1 package(s) that it was computed on are not here (abababababab)"

    flip(stocked.base / SHARDS[0])
    proof = stocked.manager.verify("p2").proof
    assert proof.missing == f"its base at {stocked.base} has changed: {EDITABLE[0]!r} is not what was registered"

    shutil.rmtree(stocked.base)
    assert "cannot be read: there is no folder" in stocked.manager.verify("p2").proof.missing


def test_another_folder_with_the_same_base_serves_for_the_proof(stocked, tmp_path):
    """Two bases of one fingerprint differ in their config; either proves the package."""
    twin = make_checkpoint(tmp_path / "twin", sharded=True)
    (twin / "config.json").write_bytes(canonical_json({"architectures": ["OtherForCausalLM"]}))
    stocked.manager.add_model("twin", str(twin))
    shutil.rmtree(stocked.base)
    assert stocked.manager.verify("p1").proof.base == str(twin)


def test_a_damaged_package_is_refused(stocked, tmp_path):
    flip(stocked.blob("p1@v1", "weights.safetensors"))
    with pytest.raises(IntegrityError, match=r"p1@v1: weights.safetensors has digest"):
        stocked.manager.verify("p1")
    stocked.execute("UPDATE versions SET manifest = replace(manifest, '\"random\"', '\"Random\"') WHERE package_id = 2")
    with pytest.raises(IntegrityError, match=r"the manifest of p2 has digest .*the registry knows"):
        stocked.manager.verify("p2")


def test_texts_that_cannot_be_read_are_refused_though_their_digests_hold(stocked, tmp_path):
    make_package(tmp_path / "q", stocked.base, name="q")
    broken = b'{"prompt": 3}\n'
    (tmp_path / "q" / "edits.jsonl").write_bytes(broken)
    new = {"sha256": sha256_hex(broken), "size_bytes": len(broken)}
    rewrite(tmp_path / "q", lambda value: value["files"].update({"edits.jsonl": new}))
    with pytest.raises(FormatError, match=r"edits\.jsonl"):
        stocked.manager.verify(str(tmp_path / "q"))


def test_verify_changes_nothing(stocked):
    before = sorted(str(path) for path in stocked.home.rglob("*") if "registry.db" not in path.name)
    stocked.manager.verify("tiny")
    stocked.manager.verify("p1")
    after = {str(path) for path in stocked.home.rglob("*") if "registry.db" not in path.name} - set(before)
    assert {path for path in after if "/cache/digests/" not in path} == set()
    with Manager.open() as again:
        assert len(again.events()) == 6
