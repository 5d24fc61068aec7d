"""Fingerprints: content decides, files do not; a second look reads nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from checkpoints import make_checkpoint
from patchmgr.base import fingerprint as module
from patchmgr.base.checkpoint import SINGLE_FILE, Checkpoint
from patchmgr.base.digests import DigestCache
from patchmgr.base.fingerprint import TensorDigest, fingerprint, merkle_root
from patchmgr.canonical import canonical_json, sha256_hex


def look(folder: Path, cache: Path):
    return fingerprint(Checkpoint.read(folder), DigestCache(cache))


def test_digests_are_those_of_the_bytes(tmp_path):
    checkpoint = Checkpoint.read(make_checkpoint(tmp_path / "m"))
    found = fingerprint(checkpoint, DigestCache(tmp_path / "c"))
    assert {n: t.sha256 for n, t in found.tensors.items()} == {
        name: sha256_hex(checkpoint.read_bytes(name)) for name in checkpoint.tensors
    }


def test_the_same_weights_in_one_file_or_in_shards_are_the_same_base(tmp_path):
    one = look(make_checkpoint(tmp_path / "one"), tmp_path / "c")
    many = look(make_checkpoint(tmp_path / "many", sharded=True), tmp_path / "c")
    assert one == many
    assert one.weights_root == many.weights_root


def test_one_flipped_bit_is_another_base(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    before = look(folder, tmp_path / "c1").weights_root
    data = bytearray((folder / SINGLE_FILE).read_bytes())
    data[-1] ^= 1
    (folder / SINGLE_FILE).write_bytes(data)
    assert look(folder, tmp_path / "c2").weights_root != before


def test_a_second_look_reads_no_tensor(tmp_path, monkeypatch):
    folder = make_checkpoint(tmp_path / "m", sharded=True)
    first = look(folder, tmp_path / "c")
    monkeypatch.setattr(module, "_digest_file", None)
    assert look(folder, tmp_path / "c") == first


def test_a_changed_file_is_read_again(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    first = look(folder, tmp_path / "c")
    make_checkpoint(tmp_path / "other", seed=1)
    (tmp_path / "other" / SINGLE_FILE).replace(folder / SINGLE_FILE)
    assert look(folder, tmp_path / "c") != first


def test_config_and_tokenizer_stand_beside_the_weights(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    first = look(folder, tmp_path / "c")
    (folder / "tokenizer.json").write_text("{}")
    second = look(folder, tmp_path / "c")
    assert first.weights_root == second.weights_root
    assert first.tokenizer_sha256 != second.tokenizer_sha256
    assert first.config_sha256 == second.config_sha256


def test_merkle_root_is_that_of_rfc_6962():
    tensors = [TensorDigest(name, "F32", (1,), "0" * 64) for name in "cab"]
    a, b, c = (
        hashlib.sha256(b"\x00" + canonical_json([name, "F32", [1], "0" * 64])).digest() for name in ("a", "b", "c")
    )
    left = hashlib.sha256(b"\x01" + a + b).digest()
    assert merkle_root(tensors) == hashlib.sha256(b"\x01" + left + c).hexdigest()
