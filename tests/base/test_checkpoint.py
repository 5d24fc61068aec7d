"""Checkpoint folders: one file or shards, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from checkpoints import SHAPES, make_checkpoint, write_tensors
from patchmgr.base.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint, check_editable
from patchmgr.errors import BaseMismatchError, FormatError, NotFoundError


@pytest.mark.parametrize("sharded", [False, True])
def test_tensors_and_companions(tmp_path, sharded):
    folder = make_checkpoint(tmp_path / "m", sharded=sharded)
    (folder / "pytorch_model.bin").write_bytes(b"old")
    checkpoint = Checkpoint.read(folder)
    assert {name: entry.shape for name, (_, entry) in checkpoint.tensors.items()} == SHAPES
    assert len(checkpoint.headers) == (2 if sharded else 1)
    assert "config.json" in checkpoint.companions
    assert "pytorch_model.bin" not in checkpoint.companions
    assert checkpoint.architecture == "TinyForCausalLM"


def test_one_file_and_shards_hold_the_same_bytes(tmp_path):
    one = Checkpoint.read(make_checkpoint(tmp_path / "one"))
    many = Checkpoint.read(make_checkpoint(tmp_path / "many", sharded=True))
    assert all(one.read_bytes(name) == many.read_bytes(name) for name in SHAPES)


def test_pickled_weights_are_refused_with_the_way_to_convert(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(NotFoundError, match="only pickled weights") as caught:
        Checkpoint.read(tmp_path)
    assert "save_pretrained" in caught.value.hint


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match=r"no config\.json"):
        Checkpoint.read(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    folder = make_checkpoint(tmp_path / "m", sharded=True)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(NotFoundError, match="lacks the shard model-00002"):
        Checkpoint.read(folder)


def test_an_index_that_names_a_file_outside_is_refused(tmp_path):
    folder = make_checkpoint(tmp_path / "m", sharded=True)
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(FormatError, match="outside its folder"):
        Checkpoint.read(folder)


def test_an_index_that_disagrees_with_the_shards_is_refused(tmp_path):
    folder = make_checkpoint(tmp_path / "m", sharded=True)
    index = json.loads((folder / INDEX_FILE).read_text())
    index["weight_map"]["norm.weight"] = "model-00001-of-00002.safetensors"
    (folder / INDEX_FILE).write_text(json.dumps(index))
    with pytest.raises(FormatError, match=r"'norm\.weight' is in model-00001"):
        Checkpoint.read(folder)


def test_a_quantised_tensor_is_refused_by_name(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    write_tensors(folder / SINGLE_FILE, {"q.weight": np.zeros((4, 4), np.int8)}, "I8")
    checkpoint = Checkpoint.read(folder)
    with pytest.raises(BaseMismatchError, match=r"'q\.weight' is stored as I8"):
        check_editable("q.weight", checkpoint.entry("q.weight")[1])
