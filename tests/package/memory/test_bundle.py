"""A bundle is written and read back as it was, and nothing in it can be changed unnoticed."""

from __future__ import annotations

import numpy as np
import pytest

from checkpoints import fingerprint_of, make_checkpoint
from limits import small_files
from memory_packages import KEYS, make_memory_package, memory_draft
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.digests import DigestCache
from patchmgr.base.fingerprint import fingerprint
from patchmgr.durable import storing
from patchmgr.errors import FormatError, StorageError
from patchmgr.ops.stack import check_base, root_of
from patchmgr.package.manifest import Manifest
from patchmgr.package.memory.bundle import bundle_root, read_bundle, write_bundle
from patchmgr.package.reader import EditPackage


@pytest.fixture
def base(tmp_path):
    return make_checkpoint(tmp_path / "base")


@pytest.fixture
def package(tmp_path, base):
    make_memory_package(tmp_path / "kb", base)
    return EditPackage.read(tmp_path / "kb")


def test_what_was_written_is_read(package):
    bundle = read_bundle(package.manifest.reference, package.files)
    assert bundle.config == memory_draft().config
    assert bundle.operations == memory_draft().operations
    assert [entry.target for entry in bundle.entries] == ["Rome", "Rome"]
    assert np.array_equal(bundle.keys, KEYS)
    assert np.array_equal(bundle.arrays("router.safetensors")["w"], KEYS)
    assert bundle.files["more/words.txt"].read_bytes() == b"hello"
    bundle.check(package.manifest.memory)
    assert package.deltas({}) == {}


def test_the_bundle_counts_for_the_state_and_the_rest_of_the_package_does_not(tmp_path, base, package):
    known = fingerprint_of(base)
    manifest = package.manifest
    renamed = manifest.model_copy(update={"name": "other", "version": 4})
    assert root_of(known, [manifest]) == root_of(known, [renamed]) != root_of(known, [])
    other = make_memory_package(tmp_path / "other", base, memory_draft(keys=KEYS + 1))
    assert root_of(known, [other]) != root_of(known, [manifest])
    assert root_of(known, [other, manifest]) != root_of(known, [manifest, other])
    assert manifest.bundle_root == bundle_root({name: record.sha256 for name, record in manifest.files.items()})


def test_a_memory_of_texts_goes_on_any_base_and_one_of_activations_does_not(tmp_path, base, package):
    from patchmgr.errors import BaseMismatchError

    make_checkpoint(tmp_path / "elsewhere", seed=5)
    known = fingerprint(Checkpoint.read(tmp_path / "elsewhere"), DigestCache(tmp_path / "no" / "x"))
    check_base(package.manifest, known, model="m")
    hidden = package.manifest.model_copy(
        update={"memory": package.manifest.memory.model_copy(update={"level": "hidden"})}
    )
    with pytest.raises(BaseMismatchError):
        check_base(hidden, known, model="m")


def test_keys_that_do_not_fit_the_entries_are_refused(tmp_path, base):
    for number, keys in enumerate([KEYS[:1], KEYS.astype(np.float64), KEYS[0]]):
        make_memory_package(tmp_path / str(number), base, memory_draft(keys=keys))
        package = EditPackage.read(tmp_path / str(number))
        with pytest.raises(FormatError, match="one float32 row for each"):
            read_bundle("kb@v1", package.files).check(package.manifest.memory)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.replace(b'"level":"text"', b'"level":"word"'), "level: it should be"),
        (lambda data: data.replace(b'{"', b'{ "', 1), "not in canonical form"),
        (lambda _data: b"{", "is not JSON"),
    ],
)
def test_a_config_that_is_not_what_the_page_says_is_refused(tmp_path, change, reason):
    write_bundle(tmp_path, memory_draft())
    config = tmp_path / "memory" / "memory.json"
    config.write_bytes(change(config.read_bytes()))
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FormatError, match=reason):
        read_bundle("kb@v1", files)


def test_a_package_without_a_bundle_is_no_memory():
    with pytest.raises(FormatError, match=r"kb@v1 has no memory/memory\.json"):
        read_bundle("kb@v1", {})


def test_a_manifest_says_memory_when_it_is_one_and_only_then(package):
    data = package.manifest.to_bytes()
    assert b'"memory":{' in data
    fields = package.manifest.model_dump()
    with pytest.raises(ValueError, match="which runtime it needs"):
        Manifest.model_validate({**fields, "memory": None})


@pytest.mark.parametrize("name", ["keys.safetensors", "router.safetensors"])
def test_a_full_disk_is_said(tmp_path, name):
    large = np.zeros((2, 9999), np.float32)
    draft = memory_draft(keys=large) if name == "keys.safetensors" else memory_draft(arrays={name: {"w": large}})
    with pytest.raises(StorageError, match="the file would pass"), small_files(20_000), storing("the new package"):
        write_bundle(tmp_path, draft)
