"""Artefacts are found by their key, checked by their digest, and made again when they are not what they were."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from patchmgr.canonical import sha256_file
from patchmgr.methods.artefacts import ArtefactStore

KEY = {"state_root": "a" * 64, "tokens": 5}
ARRAYS = {"moment": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def store(tmp_path):
    return ArtefactStore(tmp_path / "artefacts")


def counting(calls):
    def compute():
        calls.append(1)
        return ARRAYS

    return compute


def test_an_artefact_is_computed_once_and_has_the_digest_of_its_file(store):
    calls = []
    first = store.get_or_compute("covariance", KEY, counting(calls))
    again = store.get_or_compute("covariance", KEY, counting(calls))
    assert calls == [1]
    np.testing.assert_array_equal(again.arrays["moment"], ARRAYS["moment"])
    assert again.sha256 == first.sha256 == sha256_file(store.entry("covariance", KEY).path)


@pytest.mark.parametrize("other", [{**KEY, "tokens": 6}, {"tokens": 5}, {**KEY, "more": None}])
def test_another_key_is_another_artefact(store, other):
    store.put("covariance", KEY, ARRAYS)
    assert store.find("covariance", other) is None
    assert store.find("other", KEY) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "other file", "no manifest", "manifest is no JSON", "key"])
def test_a_damaged_artefact_counts_as_not_there_and_is_made_again(store, damage):
    store.put("covariance", KEY, ARRAYS)
    path = store.entry("covariance", KEY).path
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-4])
    elif damage == "other file":
        save_file({"moment": ARRAYS["moment"] + 1}, path)
    elif damage == "no manifest":
        (path.parent / "artefact.json").unlink()
    elif damage == "manifest is no JSON":
        (path.parent / "artefact.json").write_bytes(b"[")
    else:
        (path.parent / "key.json").write_bytes(b"{}\n")
    calls = []
    assert store.find("covariance", KEY) is None
    np.testing.assert_array_equal(
        store.get_or_compute("covariance", KEY, counting(calls)).arrays["moment"], ARRAYS["moment"]
    )
    assert calls == [1]
    assert store.find("covariance", KEY) is not None


def test_nothing_is_kept_when_computing_fails(store):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.get_or_compute("covariance", KEY, fail)
    assert store.entries() == ()


def test_entries_have_key_notes_size_and_kind_and_can_be_removed(store):
    made = store.put("covariance", KEY, ARRAYS, {"tokens": 5})
    store.put("keys", {"b": 1}, ARRAYS)
    store.unfinished("covariance", KEY).write_bytes(b"half")
    first, second = store.entries()
    assert (first.kind, first.key, first.notes, first.sha256) == ("covariance", KEY, {"tokens": 5}, made.sha256)
    assert first.size_bytes == first.path.stat().st_size
    assert second.kind == "keys"
    store.remove(first)
    assert store.entries() == (second,)
    assert store.unfinished("covariance", KEY).read_bytes() == b"half"


def test_a_copy_of_a_file_has_the_digest_of_the_original(store, tmp_path):
    made = store.put("covariance", KEY, ARRAYS)
    other = ArtefactStore(tmp_path / "other")
    copied = other.put_file("covariance", KEY, store.entry("covariance", KEY).path, {"tokens": 5})
    assert (copied.sha256, copied.notes) == (made.sha256, {"tokens": 5})
