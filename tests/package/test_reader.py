"""Reading a package strictly: every way it can be wrong is an error that says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from checkpoints import make_checkpoint, make_package, write_tensors
from patchmgr.canonical import canonical_json, sha256_file
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.package.encodings.lowrank import LowRank
from patchmgr.package.manifest import parse_manifest
from patchmgr.package.reader import EditPackage

ENCODINGS = {"lowrank": LowRank()}


@pytest.fixture
def folder(tmp_path):
    make_package(tmp_path / "p", make_checkpoint(tmp_path / "base"))
    return tmp_path / "p"


def change_manifest(folder, change, *, canonical=True) -> None:
    value = json.loads((folder / "patch.json").read_bytes())
    change(value)
    (folder / "patch.json").write_bytes(canonical_json(value) if canonical else json.dumps(value).encode())


def replace_weights(folder, change) -> None:
    """Other arrays with a manifest that agrees, so that only the arrays are wrong."""
    arrays = load_file(folder / "weights.safetensors")
    change(arrays)
    save_file(arrays, folder / "weights.safetensors")
    path = folder / "weights.safetensors"
    change_manifest(
        folder,
        lambda value: value["files"].update(
            {"weights.safetensors": {"size_bytes": path.stat().st_size, "sha256": sha256_file(path)}}
        ),
    )


def test_a_package_reads_back_as_it_was_written(folder):
    package = EditPackage.read(folder)
    assert package.manifest.reference == "random@v1"
    assert len(package.requests) == package.manifest.n_edits == 1
    assert set(package.deltas(ENCODINGS)) == {tensor.name for tensor in package.manifest.tensors}
    assert parse_manifest(package.manifest.to_bytes()) == package.manifest


def test_an_unknown_format_version_asks_for_an_upgrade(folder):
    change_manifest(folder, lambda value: value.update(format_version=2))
    with pytest.raises(FormatError, match=r"format version 2, this patchmgr reads 1") as caught:
        EditPackage.read(folder)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("author"), "author: it is missing"),
        (lambda v: v.update(surprise=1), "surprise"),
        (lambda v: v.update(name="../../etc"), "name"),
        (lambda v: v.update(version="1"), "version"),
        (lambda v: v.update(created="yesterday"), "created"),
        (lambda v: v.update(created="2026-99-99T99:99:99Z"), "created"),
        (lambda v: v.update(created="٢٠٢٦-01-02T03:04:05Z"), "created"),
        (lambda v: v.update(parent_version=1), "parent_version is not below version"),
        (lambda v: v.update(tensors=[]), "touches at least one tensor"),
        (lambda v: v.update(kind="memory"), "and no other kind does"),
        (lambda v: v["tensors"].append(v["tensors"][0]), "a tensor is listed twice"),
        (lambda v: v["tensors"][0].update(name=""), r"tensors\.0\.name"),
        (lambda v: v["files"].update({"model.sig": {"size_bytes": 1, "sha256": "0" * 64}}), "is never listed"),
        (lambda v: v["files"].update({"a\nb": {"size_bytes": 1, "sha256": "0" * 64}}), "not a path inside"),
        (lambda v: v.update(kind="magic"), "kind"),
        (lambda v: v["parent"].update(root="abc"), r"parent\.root"),
        (lambda v: v["tensors"][0].update(dtype="I7"), r"tensors\.0\.dtype: 'I7' is no dtype"),
        (lambda v: v["tensors"][0].update(dtype=["BF16"]), r"tensors\.0\.dtype"),
        (lambda v: v["tensors"][0].update(shape=[6, 0]), r"tensors\.0\.shape\.1"),
        (lambda v: v["files"].update({"../x": {"size_bytes": 1, "sha256": "0" * 64}}), "not a path inside the package"),
        (lambda v: v["files"].update({"/x": {"size_bytes": 1, "sha256": "0" * 64}}), "not a path inside the package"),
    ],
)
def test_a_malformed_field_is_named(folder, change, message):
    change_manifest(folder, change)
    with pytest.raises(FormatError, match=message):
        EditPackage.read(folder)


def test_a_manifest_that_is_not_canonical_is_refused(folder):
    change_manifest(folder, lambda value: None, canonical=False)
    with pytest.raises(FormatError, match="not in canonical form"):
        EditPackage.read(folder)


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000, b'{"format_version": ' + b"1" * 5000 + b"}", b"[1]"])
def test_a_manifest_that_is_no_json_is_refused(folder, data):
    (folder / "patch.json").write_bytes(data)
    with pytest.raises(FormatError, match=r"not JSON|format version None"):
        EditPackage.read(folder)


def test_text_that_is_no_text_and_nesting_beyond_use_are_refused(folder):
    deep: list = []
    for _ in range(300):
        deep = [deep]
    original = (folder / "patch.json").read_bytes()
    for parameters in (b'"\\ud800"', json.dumps(deep).encode(), b"NaN"):
        (folder / "patch.json").write_bytes(
            original.replace(b'"parameters":{}', b'"parameters":{"x":' + parameters + b"}")
        )
        try:
            EditPackage.read(folder)
        except FormatError:
            continue
        assert parameters.startswith(b"[[[")  # deep, but canonical JSON all the same


def test_a_package_without_its_edits_is_refused(folder):
    change_manifest(folder, lambda value: value["files"].pop("edits.jsonl"))
    (folder / "edits.jsonl").unlink()
    with pytest.raises(FormatError, match=r"has no edits\.jsonl"):
        EditPackage.read(folder)


def test_arrays_of_a_dtype_that_numpy_lacks_are_refused(folder):
    path = folder / "weights.safetensors"
    rows, columns = 6, 2
    write_tensors(path, {"layers.0.down.weight/U": np.zeros((rows, columns), "<u2")}, "BF16")
    record = {"size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
    change_manifest(folder, lambda value: value["files"].update({"weights.safetensors": record}))
    with pytest.raises(FormatError):
        EditPackage.read(folder).deltas(ENCODINGS)


@pytest.mark.parametrize("name", ["weights.safetensors", "edits.jsonl"])
def test_a_flipped_bit_is_found(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{name} has digest") as caught:
        EditPackage.read(folder)
    assert caught.value.exit_code == 6


def test_a_file_that_is_missing_cut_off_or_too_many_is_named(folder):
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(FormatError, match=r"'extra\.bin', which patch\.json does not list"):
        EditPackage.read(folder)
    (folder / "extra.bin").unlink()
    (folder / "edits.jsonl").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"edits\.jsonl is 0 bytes"):
        EditPackage.read(folder)
    (folder / "edits.jsonl").unlink()
    with pytest.raises(IntegrityError, match=r"edits\.jsonl is missing"):
        EditPackage.read(folder)


def test_links_are_refused(folder, tmp_path):
    (tmp_path / "secret").write_bytes((folder / "edits.jsonl").read_bytes())
    (folder / "edits.jsonl").unlink()
    (folder / "edits.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="is a link"):
        EditPackage.read(folder)


def test_a_folder_without_manifest_is_no_package(tmp_path):
    with pytest.raises(NotFoundError, match=r"no patch\.json"):
        EditPackage.read(tmp_path)


U = "layers.0.down.weight/U"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update({U: a[U].astype(np.float64)}), "is float64"),
        (lambda a: a.update({U: a[U].T.copy()}), "does not give the tensor's shape"),
        (lambda a: a.update({U: a[U][:, :1].copy()}), "does not give the tensor's shape"),
        (lambda a: a.update({U: np.where(a[U] > 0, np.nan, a[U]).astype(np.float32)}), "NaN or an infinity"),
        (lambda a: a.pop(U), r"lacks the array"),
        (lambda a: a.update({"other/U": a[U]}), "belongs to no tensor"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, change, message):
    replace_weights(folder, change)
    with pytest.raises(FormatError, match=message):
        EditPackage.read(folder).deltas(ENCODINGS)


def test_a_delta_that_is_added_to_a_dtype_without_sums_is_refused(folder):
    change_manifest(folder, lambda value: value["tensors"][0].update(dtype="I8"))
    with pytest.raises(FormatError, match=r"layers\.0\.down\.weight: nothing can be added to a tensor of I8"):
        EditPackage.read(folder).deltas(ENCODINGS)


def test_an_unknown_encoding_names_the_known_ones(folder):
    change_manifest(folder, lambda value: value["tensors"][0].update(encoding="fourier"))
    with pytest.raises(FormatError, match="'fourier', which is not known here"):
        EditPackage.read(folder).deltas(ENCODINGS)


def test_a_wrong_number_of_edits_is_found(folder):
    change_manifest(folder, lambda value: value.update(n_edits=2))
    with pytest.raises(FormatError, match=r"holds 1 edits, patch\.json says 2"):
        _ = EditPackage.read(folder).requests
