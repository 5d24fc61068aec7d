"""The exact difference: a decoder that knows the layout and nothing of patchmgr gets the state's bytes."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import zstandard
from safetensors import safe_open

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package, write_tensors
from memory_packages import make_memory_package
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.header import read_header
from patchmgr.canonical import sha256_hex
from patchmgr.errors import ConflictError, IntegrityError, PatchmgrError
from patchmgr.exporters.contract import ExportOptions
from patchmgr.manager.export import ExportOrder, export, plan_export
from patchmgr.manager.exporting.place import MARKER
from patchmgr.manager.manager import Manager
from patchmgr.ops import shard
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.encodings.xor import xor_between


def decode(delta: Path, base: dict[str, bytes]) -> dict[str, bytes]:
    """As a receiver of XOR_DELTA does it: index, shard, frame, XOR, checksum; nothing else is trusted."""
    index = json.loads((delta / "model.safetensors.index.json").read_text())
    wanted = {"delta_encoding": "xor", "compression_format": "zstd", "checksum_format": "adler32"}
    assert {key: index["metadata"][key] for key in wanted} == wanted
    assert set(index["metadata"]) == {*wanted, "version", "base_version"}
    state = dict(base)
    for name, file in index["weight_map"].items():
        with safe_open(delta / file, "np") as opened:
            frame, checksum = opened.get_tensor(name), opened.metadata()[name]
        assert frame.dtype == np.uint8 and frame.ndim == 1
        reader = zstandard.ZstdDecompressor().stream_reader(frame.tobytes())
        change = reader.read(len(base[name]))
        assert len(change) == len(base[name]) and not reader.read(1)
        new = (np.frombuffer(base[name], np.uint8) ^ np.frombuffer(change, np.uint8)).tobytes()
        if f"{zlib.adler32(new):08x}" != checksum:
            raise ValueError(f"checksum of {name} differs")
        state[name] = new
    return state


def tensors_of(folder: Path) -> dict[str, bytes]:
    checkpoint = Checkpoint.read(folder)
    return {name: checkpoint.read_bytes(name) for name in checkpoint.tensors}


@pytest.fixture
def dtype() -> str:
    return "BF16"


@pytest.fixture
def stacked(home, tmp_path, dtype):
    """``m`` on a base of two shards: an additive package on both, and replaced bytes under it in the second."""
    base = make_checkpoint(tmp_path / "base", dtype=dtype, sharded=True)
    checkpoint = Checkpoint.read(base)
    before, other = (np.frombuffer(checkpoint.read_bytes(name), np.uint8) for name in reversed(EDITABLE))
    deltas = {EDITABLE[1]: xor_between(before, other, dtype)}
    make_package(tmp_path / "bytes", base, name="bytes", deltas=deltas)
    make_package(tmp_path / "sum", base, name="sum", seed=1)
    with Manager.open() as manager:
        manager.add_model("m", str(base))
        manager.apply("m", [str(tmp_path / "bytes"), str(tmp_path / "sum")])
        yield manager, base


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_difference_gives_the_bytes_of_the_state(stacked, tmp_path):
    manager, base = stacked
    done = export(manager, ExportOrder("m", "xor", tmp_path / "delta"))
    state = manager.path("m")
    assert decode(tmp_path / "delta", tensors_of(base)) == tensors_of(state)
    index = json.loads((tmp_path / "delta" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(EDITABLE)
    (status,) = manager.status("m")
    assert index["metadata"]["version"] == done.state_root == status.state_root
    assert index["metadata"]["base_version"] == done.facts["base_version"] != done.state_root
    assert sorted(path.name for path in (tmp_path / "delta").iterdir()) == sorted(done.files)


def test_on_another_base_the_checksums_do_not_meet(stacked, tmp_path):
    manager, base = stacked
    export(manager, ExportOrder("m", "xor", tmp_path / "delta"))
    other = {name: bytes(reversed(data)) for name, data in tensors_of(base).items()}
    with pytest.raises(ValueError, match="checksum"):
        decode(tmp_path / "delta", other)


def test_a_package_is_exported_by_itself_and_what_it_leaves_as_it_was_is_left_out(stacked, tmp_path):
    manager, base = stacked
    shape = Checkpoint.read(base).entry(EDITABLE[0])[1].shape
    zeros, ones = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    deltas = {EDITABLE[0]: Dense(zeros), EDITABLE[1]: Dense(ones)}
    manifest = make_package(tmp_path / "half", base, name="half", deltas=deltas)
    done = export(manager, ExportOrder(str(tmp_path / "half"), "xor", tmp_path / "delta"))
    state = decode(tmp_path / "delta", tensors_of(base))
    assert {t.name: sha256_hex(state[t.name]) for t in manifest.tensors} == {
        t.name: t.after_sha256 for t in manifest.tensors
    }
    index = json.loads((tmp_path / "delta" / "model.safetensors.index.json").read_text())
    assert list(index["weight_map"]) == [EDITABLE[1]]
    assert done.files == (MARKER, "model-00002-of-00002.safetensors", "model.safetensors.index.json")


def test_a_tensor_is_never_in_memory_as_a_whole(home, tmp_path, monkeypatch):
    """A tensor of many blocks is one frame, and a block is all that is asked for."""
    base = make_checkpoint(tmp_path / "base", dtype="F32")
    big = np.random.default_rng(0).normal(size=(1500, 1000)).astype(np.float32).view("<u4")
    write_tensors(base / "model.safetensors", {"big.weight": big}, "F32")
    make_package(tmp_path / "p", base, name="p", tensors=("big.weight",))
    monkeypatch.setattr(Checkpoint, "read_bytes", lambda *_: pytest.fail("read whole"))
    steps: list[int] = []

    def progress(done: int, _total: int, what: str) -> None:
        steps.extend([done] if what.startswith("writing") else [])

    with Manager.open(progress=progress) as manager:
        manager.add_model("m", str(base))
        export(manager, ExportOrder(str(tmp_path / "p"), "xor", tmp_path / "delta"))
    assert steps[-1] == big.nbytes
    assert max(np.diff([0, *steps])) <= 4 * 1024 * 1024
    monkeypatch.undo()
    found = decode(tmp_path / "delta", tensors_of(base))["big.weight"]
    assert found != big.tobytes()
    assert len(read_header(tmp_path / "delta" / "model.safetensors").tensors) == 1


def test_a_base_that_changed_is_found_and_nothing_is_left(home, tmp_path, monkeypatch):
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "p", base, name="p")
    before = file_digests(base)
    spans = shard.summed_spans

    def flipped(*given):
        for stored, summed in spans(*given):
            changed = bytearray(stored)
            changed[0] ^= 1
            yield memoryview(changed), summed

    with Manager.open() as manager:
        manager.add_model("m", str(base))
        monkeypatch.setattr(shard, "summed_spans", flipped)
        with pytest.raises(IntegrityError, match="has digest"):
            export(manager, ExportOrder(str(tmp_path / "p"), "xor", tmp_path / "delta"))
    assert not (tmp_path / "delta").exists() and file_digests(base) == before
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_a_difference_cannot_carry_is_refused(stacked, tmp_path):
    manager, base = stacked
    manager.add_model("plain", str(base))
    with pytest.raises(ConflictError, match="changes no weight"):
        plan_export(manager, ExportOrder("plain", "xor", tmp_path / "delta"))
    make_memory_package(tmp_path / "kb", base)
    for to in ("xor", "peft", "checkpoint"):
        with pytest.raises(PatchmgrError, match=r"kb@v1 is a memory, answered by 'echo'") as refused:
            plan_export(manager, ExportOrder(str(tmp_path / "kb"), to, tmp_path / "delta"))
        assert refused.value.exit_code == 4
    only = ExportOrder(str(tmp_path / "kb"), "checkpoint", tmp_path / "out", ExportOptions(weights_only=True))
    done = export(manager, only)
    assert tensors_of(tmp_path / "out") == tensors_of(base)
    assert done.facts["left_out"] == ["kb@v1"] and "kb@v1" in done.remarks[0]
    assert not (tmp_path / "out" / "memories").exists() and not (tmp_path / "out" / "patchmgr.json").exists()
