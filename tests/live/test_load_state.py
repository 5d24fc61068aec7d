"""Loading a state that has no folder: bit for bit what the written folder gives, and no byte written."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoints import file_digests, make_package
from live.load_bases import KINDS, down, embedding, make_base, make_packages
from patchmgr.canonical import canonical_json
from patchmgr.errors import BaseMismatchError, ConflictError, IntegrityError, NotFoundError
from patchmgr.live.load import load_model
from patchmgr.manager.manager import Manager
from patchmgr.package.encodings.dense import Dense


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: value.contiguous().view(torch.uint8).numpy().tobytes() for name, value in model.state_dict().items()}


def everything(folder: Path) -> dict[str, object]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("registry.db")]
    return {str(path): path.stat().st_mtime_ns for path in files if "cache" not in path.parts}


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.arange(2, 20)[None]).logits


@pytest.fixture
def manager(home):
    with Manager.open() as opened:
        yield opened


@pytest.mark.parametrize("dtype", ["auto", "float32"])
@pytest.mark.parametrize("sharded", [False, True], ids=["one-file", "sharded"])
@pytest.mark.parametrize("kind", KINDS)
def test_load_without_a_folder_is_bit_for_bit_the_written_folder(manager, tmp_path, home, kind, sharded, dtype):
    base = make_base(tmp_path / "base", kind, sharded=sharded)
    packages = make_packages(tmp_path, base)
    manager.add_model("tiny", str(base))
    pristine, before = file_digests(base), everything(home)
    tried = manager.load("tiny", packages, dtype=dtype)
    assert (everything(home), manager.list_packages()) == (before, ())  # neither written nor registered
    outcome = manager.apply("tiny", packages)
    written = load_model(outcome.folder, outcome.state_root, dtype=dtype)
    assert tried.state_root == outcome.state_root == written.state_root
    assert bits(tried.model) == bits(written.model)
    assert torch.equal(logits(tried.model), logits(written.model))
    pointers = [
        {n: p.data_ptr() for n, p in m.named_parameters(remove_duplicate=False)} for m in (tried.model, written.model)
    ]
    ties = [{(a, b) for a in found for b in found if found[a] == found[b]} for found in pointers]
    assert ties[0] == ties[1]
    assert file_digests(base) == pristine
    untouched = manager.load("tiny", dtype=dtype)
    assert bits(untouched.model) == bits(written.model)


@pytest.mark.parametrize("own_generation_config", [True, False])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_load_without_a_folder_is_the_same_model_in_all_else(manager, tmp_path, kind, own_generation_config):
    base = make_base(tmp_path / "base", kind)
    if not own_generation_config:
        (base / "generation_config.json").unlink()
    packages = make_packages(tmp_path, base)
    manager.add_model("tiny", str(base))
    tried = manager.load("tiny", packages).model
    found = load_model(manager.write_out("tiny", packages, tmp_path / "out").folder, "", dtype="auto").model
    assert type(tried) is type(found)
    assert tried.generation_config.to_dict() == found.generation_config.to_dict()
    assert tried.training is found.training is False
    ours, theirs = tried.config.to_dict(), found.config.to_dict()
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == {"_name_or_path"}
    assert tried.name_or_path == ""


def test_load_after_the_folder_was_cleared_away_is_what_it_was(manager, tmp_path, home):
    base = make_base(tmp_path / "base", "gpt2")
    packages = make_packages(tmp_path, base)
    manager.add_model("tiny", str(base))
    outcome = manager.apply("tiny", packages)
    before, answer = manager.load("tiny"), manager.generate("tiny", "The capital of")
    shutil.rmtree(outcome.folder)
    left = everything(home)
    again = manager.load("tiny")
    assert again.state_root == before.state_root == outcome.state_root
    assert bits(again.model) == bits(before.model)
    assert manager.generate("tiny", "The capital of") == answer
    assert everything(home) == left
    assert bits(manager.model("tiny").load()[0]) == bits(before.model)


def test_load_holds_its_sums_to_what_the_generation_was(manager, tmp_path, monkeypatch):
    base = make_base(tmp_path / "base", "gpt2")
    manager.add_model("tiny", str(base))
    shutil.rmtree(manager.apply("tiny", make_packages(tmp_path, base)).folder)
    monkeypatch.setattr("patchmgr.live.state.summed_blocks", lambda data, *_, **__: iter([data.tobytes()]))
    with pytest.raises(IntegrityError, match=r"becomes .* and must be"):
        manager.load("tiny")


def test_a_tried_package_goes_on_top_of_what_is_applied(manager, tmp_path):
    base = make_base(tmp_path / "base", "llama", sharded=True)
    low, mixed, swap = make_packages(tmp_path, base)
    manager.add_model("tiny", str(base))
    manager.apply("tiny", [low])
    tried = manager.load("tiny", ["low", mixed, swap])
    answer = manager.generate("tiny", "The capital of", references=[mixed, swap], compare=True)
    assert answer.stack == ("low@v1", "mixed@v1", "swap@v1")
    assert answer.trial
    assert manager.status("tiny")[0].generation == 1
    outcome = manager.apply("tiny", [mixed, swap])
    assert outcome.state_root == tried.state_root
    assert manager.generate("tiny", "The capital of", compare=True).text == answer.text
    assert bits(manager.load("tiny").model) == bits(tried.model)
    replaced = manager.model("tiny").load("low", "mixed", dtype="float32")[0]  # both are there: the state as it is
    assert bits(replaced) == bits(manager.load("tiny", dtype="float32").model)


def test_what_cannot_be_applied_cannot_be_tried(manager, tmp_path):
    base = make_base(tmp_path / "base", "gpt2")
    *_, swap = make_packages(tmp_path, base)
    manager.add_model("tiny", str(base))
    other = tmp_path / "other"
    shutil.copytree(swap, other)
    manifest = json.loads((other / "patch.json").read_bytes())
    manifest["name"] = "other"
    (other / "patch.json").write_bytes(canonical_json(manifest))
    with pytest.raises(ConflictError, match=r"replaces .* another package"):
        manager.load("tiny", [swap, str(other)])
    manifest["base"]["fingerprint"] = "0" * 64
    (other / "patch.json").write_bytes(canonical_json(manifest))
    with pytest.raises(BaseMismatchError, match="was made for the base"):
        manager.load("tiny", [str(other)])
    with pytest.raises(NotFoundError):
        manager.load("tiny", ["nothing@v1"])
    with pytest.raises(IntegrityError, match="digest"):
        data = bytearray((tmp_path / "swap/weights.safetensors").read_bytes())
        data[-1] ^= 1
        (tmp_path / "swap/weights.safetensors").write_bytes(data)
        manager.load("tiny", [swap])


def test_a_weight_stored_twice_and_parted_by_a_package_loads_as_its_folder_does(manager, tmp_path):
    """transformers decides what becomes of it, from the same names and bytes."""
    base = make_base(tmp_path / "base", "gpt2")
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    shape = tuple(tensors["lm_head.weight"].shape)
    make_package(tmp_path / "one", base, name="one", deltas={"lm_head.weight": Dense(np.full(shape, 0.5, np.float32))})
    manager.add_model("tiny", str(base))
    tried = manager.load("tiny", [str(tmp_path / "one")])
    outcome = manager.apply("tiny", [str(tmp_path / "one")])
    assert bits(tried.model) == bits(load_model(outcome.folder, "", dtype="auto").model)


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped is read from /proc, which Linux alone has")
def test_the_base_stays_mapped_where_nothing_was_touched(manager, tmp_path):
    base = make_base(tmp_path / "base", "llama")
    low, *_ = make_packages(tmp_path, base)
    manager.add_model("tiny", str(base))
    live = dict(manager.load("tiny", [low]).model.named_parameters())
    touched = set(down(base)[:1]) | {embedding(base)}
    mapped = {
        name for name, parameter in live.items() if mapped_file(parameter.data_ptr()) == base / "model.safetensors"
    }
    assert {f"{name.removeprefix('model.')}" for name in live.keys() - mapped} == {
        n.removeprefix("model.") for n in touched
    }


def mapped_file(address: int) -> Path | None:
    for line in Path("/proc/self/maps").read_text().splitlines():
        words = line.split(maxsplit=5)
        first, last = (int(end, 16) for end in words[0].split("-"))
        if first <= address < last:
            return Path(words[5]) if len(words) > 5 else None
    return None
