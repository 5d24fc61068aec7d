"""No bit of a memory package can be flipped unnoticed, wherever it lies in it.

The argument has four steps, each a test. Every file beside ``patch.json`` is listed there with its size and SHA-256,
and what is not listed is refused. No flipped bit of such a file leaves its digest. ``patch.json`` is known by its own
digest, by which a registry and ``patchmgr.json`` name it. Every bit of ``patchmgr.json`` is fixed by what it names
and by the canonical form. That reading checks each of these digests is shown on bits spread over all files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from checkpoints import make_checkpoint
from memory_packages import make_memory_package, memory_draft
from patchmgr.canonical import sha256_hex
from patchmgr.errors import FormatError, IntegrityError, PatchmgrError
from patchmgr.ops.memories import FOLDER, MARK, read_memories, write_memories
from patchmgr.package.reader import EditPackage

ENCODER = {"encoder/config.json": b'{"model_type":"none"}', "encoder/model.safetensors": bytes(range(64))}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A package, and a checkpoint folder that holds it as a memory."""
    folder = tmp_path_factory.mktemp("bits")
    draft = memory_draft()
    make_memory_package(folder / "kb", make_checkpoint(folder / "base"), memory_draft(texts={**draft.texts, **ENCODER}))
    (folder / "state").mkdir()
    write_memories([EditPackage.read(folder / "kb")], folder / "state")
    return folder


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written / "kb", tmp_path / "kb")
    shutil.copytree(written / "state", tmp_path / "state")
    return tmp_path


def flipped(data: bytes, step: int = 1) -> Iterator[bytes]:
    """The data with one bit changed, for every bit, or every step-th."""
    changed = bytearray(data)
    for bit in range(0, 8 * len(data), step):
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
        changed[bit // 8] ^= 1 << bit % 8


def test_every_file_is_listed_with_its_size_and_digest(written):
    manifest = EditPackage.read(written / "kb").manifest
    found = {
        path.relative_to(written / "kb").as_posix(): path.read_bytes()
        for path in (written / "kb").rglob("*")
        if path.is_file() and path.name not in ("patch.json", "README.md")
    }
    assert {name: (record.size_bytes, record.sha256) for name, record in manifest.files.items()} == {
        name: (len(data), sha256_hex(data)) for name, data in found.items()
    }
    assert set(found) == {
        "edits.jsonl", "eval.json", "memory/memory.json", "memory/entries.jsonl",
        "memory/keys.safetensors", "memory/router.safetensors", "memory/more/words.txt",
        *(f"memory/{name}" for name in ENCODER),
    }  # fmt: skip


def test_no_bit_of_a_listed_file_can_be_flipped_under_its_digest(written):
    n_bits = 0
    for name, record in EditPackage.read(written / "kb").manifest.files.items():
        data = (written / "kb" / name).read_bytes()
        for changed in flipped(data):
            n_bits += 1
            assert sha256_hex(changed) != record.sha256
    assert n_bits == 8 * sum(record.size_bytes for record in EditPackage.read(written / "kb").manifest.files.values())


def test_no_bit_of_patch_json_can_be_flipped_under_the_digest_that_it_is_known_by(written):
    data = (written / "kb" / "patch.json").read_bytes()
    digest = EditPackage.read(written / "kb").manifest.digest
    assert digest == sha256_hex(data)
    assert all(sha256_hex(changed) != digest for changed in flipped(data))


def test_reading_finds_flipped_bits_of_every_file_and_names_it(folder):
    for name in EditPackage.read(folder / "kb").manifest.files:
        path = folder / "kb" / name
        data = path.read_bytes()
        for changed in flipped(data, step=max(1, 8 * len(data) // 30)):
            path.write_bytes(changed)
            with pytest.raises(IntegrityError, match=name):
                EditPackage.read(folder / "kb")
        path.write_bytes(data)
    assert EditPackage.read(folder / "kb").manifest.reference == "kb@v1"


def test_a_state_with_a_flipped_bit_in_a_manifest_is_refused(folder):
    (path,) = (folder / "state" / FOLDER).glob("*/patch.json")
    data = path.read_bytes()
    for changed in flipped(data, step=37):
        path.write_bytes(changed)
        with pytest.raises((FormatError, IntegrityError)):
            read_memories(folder / "state")
    path.write_bytes(data)
    assert len(read_memories(folder / "state")) == 1


def test_a_state_with_any_flipped_bit_in_what_names_its_memories_is_refused(folder):
    data = (folder / "state" / MARK).read_bytes()
    for changed in flipped(data):
        (folder / "state" / MARK).write_bytes(changed)
        with pytest.raises(PatchmgrError):
            read_memories(folder / "state")


@pytest.mark.parametrize("change", ["more", "fewer", "shorter", "linked"])
def test_a_file_too_many_too_few_or_not_plain_is_refused(folder, change):
    path = folder / "kb" / "memory" / "more" / "words.txt"
    if change == "more":
        (folder / "kb" / "memory" / "unlisted.json").write_bytes(b"{}")
    elif change == "shorter":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.rename(folder / "elsewhere")
        if change == "linked":
            path.symlink_to(folder / "elsewhere")
    with pytest.raises((FormatError, IntegrityError), match=r"unlisted\.json|words\.txt"):
        EditPackage.read(folder / "kb")


def test_what_lies_beside_the_packages_of_a_state_is_in_none_of_them(folder):
    (inside,) = (folder / "state" / FOLDER).iterdir()
    (inside / "memory" / "unlisted.json").write_bytes(b"{}")
    with pytest.raises(FormatError, match=r"unlisted\.json"):
        read_memories(folder / "state")
