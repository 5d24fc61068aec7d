"""Adapters of PEFT's as packages: the same state as PEFT's, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from patchmgr.errors import FormatError, GateError, MethodError, NotFoundError, UsageError
from patchmgr.exporters.peft.files import CONFIG, PREFIX, WEIGHTS
from patchmgr.exporters.peft.reading import read_adapter
from patchmgr.manager.export import ExportOrder, export
from patchmgr.manager.importing import adapter_order, check_import, import_adapter, kind_of
from patchmgr.manager.manager import Manager
from patchmgr.manager.remaking.source import Wishes
from patchmgr.request import EditRequest

REQUESTS = (EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),)
TOKENS = torch.arange(3, 27).reshape(2, 12)


def load(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


@pytest.fixture
def fresh(homes, tmp_path):
    """``fresh("gpt2", "float32")``: another registry with the model ``m`` on the bare base."""
    opened = []

    def make(architecture: str, dtype: str):
        stocked = homes(architecture, dtype)
        manager = Manager.open(tmp_path / "fresh")
        opened.append(manager)
        manager.add_model("m", str(stocked.base))
        return stocked, manager

    yield make
    for manager in opened:
        manager.close()


def taken_in(manager: Manager, folder: Path, **wanted) -> str:
    order = adapter_order("taken", requests=REQUESTS, **wanted)
    return import_adapter(manager, "m", folder, order).version.reference


@pytest.mark.parametrize(("architecture", "dtype"), [("gpt2", "float32"), ("llama", "bfloat16")])
def test_export_and_import_give_the_same_state_and_no_method_makes_it_again(fresh, tmp_path, architecture, dtype):
    stocked, manager = fresh(architecture, dtype)
    with stocked.open() as other:
        export(other, ExportOrder("m", "peft", tmp_path / "lora"))
        (wanted,) = other.status("m")
    reference = taken_in(manager, tmp_path / "lora")
    with pytest.raises(UsageError, match="LoRA adapter"):
        manager.rebase("m", reference, Wishes())
    manager.apply("m", [reference])
    (found,) = manager.status("m")
    assert found.state_root == wanted.state_root


LLAMA = {"target_modules": ["q_proj", "down_proj"], "r": 4, "lora_alpha": 6}
CONFIGS = {
    "gpt2": {"target_modules": ["c_attn", "mlp.c_proj"], "r": 3, "lora_alpha": 5, "fan_in_fan_out": True},
    "llama": {**LLAMA, "rank_pattern": {r"layers\.1\.mlp\.down_proj": 2}, "alpha_pattern": {"q_proj": 16}},
    "gptj": {"target_modules": ["fc_in"], "r": 4, "lora_alpha": 3, "use_rslora": True},
}


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_an_adapter_of_pefts_gives_the_logits_that_peft_gives(fresh, tmp_path, architecture):
    stocked, manager = fresh(architecture, "float32")
    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, lora_dropout=0.1, **CONFIGS[architecture])
    get_peft_model(load(stocked.base), config).save_pretrained(tmp_path / "lora")
    reference = taken_in(manager, tmp_path / "lora", message="trained by hand")
    manager.apply("m", [reference])
    merged = PeftModel.from_pretrained(load(stocked.base), tmp_path / "lora").eval().merge_and_unload()
    base, wanted, found = (logits(model) for model in (load(stocked.base), merged, load(manager.path("m"))))
    scale = float((wanted - base).abs().max())
    assert scale > 0.1
    assert float((found - wanted).abs().max()) < 1e-5 * scale
    view = manager.show(reference)
    assert view.manifest.method.name == "peft-import" and view.manifest.message == "trained by hand"
    assert view.manifest.method.parameters["files"].keys() == {CONFIG, WEIGHTS}
    assert {tensor.encoding for tensor in view.manifest.tensors} == {"lowrank"}
    assert {score.phase for score in view.scores} == {"before", "after"}
    assert [event.action for event in manager.events()] == ["model-add", "import", "apply"]


def test_it_is_measured_as_an_edit_is_and_a_gate_stores_nothing(fresh, tmp_path):
    stocked, manager = fresh("llama", "float32")
    with stocked.open() as other:
        export(other, ExportOrder("one@v1", "peft", tmp_path / "lora"))
    with pytest.raises(GateError, match="reliability"):
        taken_in(manager, tmp_path / "lora", require=("reliability>=1.0",))
    assert manager.list_packages() == ()


def test_an_adapter_for_another_model_is_refused_by_what_does_not_fit(fresh, tmp_path):
    _, manager = fresh("llama", "float32")
    for path, shape, reason in (
        ("model.layers.0.mlp.down_proj", (24, 24), "maps 24 to 24"),
        ("model.layers.7.mlp.down_proj", (24, 40), "no such module"),
        ("model.embed_tokens", (24, 300), "is no linear map"),
    ):
        folder = write_adapter(tmp_path / path, path=path, shape=shape)
        with pytest.raises(MethodError, match=reason):
            taken_in(manager, folder)
    assert manager.list_packages() == ()


def test_a_preview_loads_no_model_and_changes_nothing(fresh, tmp_path, monkeypatch):
    _, manager = fresh("llama", "float32")
    folder = write_adapter(tmp_path / "lora")
    monkeypatch.setattr("patchmgr.live.load.load_model", lambda *_, **__: pytest.fail("loaded"))
    preview = check_import(manager, folder, "m", adapter_order("taken", requests=REQUESTS))
    assert preview.reference == "taken@v1" and preview.edit is not None and preview.edit.n_edits == 1
    assert manager.list_packages() == ()
    with pytest.raises(UsageError, match="what the adapter teaches"):
        adapter_order("taken", requests=())


# What is no plain LoRA


def write_adapter(
    folder: Path, *, path: str = "model.layers.0.mlp.down_proj", shape: tuple[int, int] = (24, 40), **config
) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    given = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": [path], **config}
    (folder / CONFIG).write_text(json.dumps(given))
    factors = {"A": rng.normal(size=(2, shape[1])), "B": rng.normal(size=(shape[0], 2))}
    arrays = {f"{PREFIX}{path}.lora_{part}.weight": value.astype(np.float32) for part, value in factors.items()}
    save_file(arrays, folder / WEIGHTS)
    return folder


def change(folder: Path, edit) -> None:
    arrays = load_file(folder / WEIGHTS)
    edit(arrays)
    save_file(arrays, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"lora_bias": True}, "lora_bias"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base's weights"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters"),
        ({"something_new": {"on": 1}}, "something_new"),
        ({"r": 3}, "of rank 2 and 2"),
        ({"rank_pattern": {"down_proj": 8}}, "says 8"),
        ({"rank_pattern": {"(": 8}}, r"rank_pattern has the key '\(', which is not the name"),
        ({"rank_pattern": {"(a+)+b": 8}}, "not the name of a module"),
        ({"alpha_pattern": {"a{99999999999999999999}": 8}}, "alpha_pattern has the key"),
        ({"alpha_pattern": {"(" * 5000: 8}}, "not the name of a module"),
        ({"alpha_pattern": {"layers.*.down_proj": 8}}, "not the name of a module"),
        ({"lora_alpha": "much"}, "alpha of"),
        ({"lora_alpha": 10**400}, "alpha of"),
        ({"lora_alpha": 1e300}, "beyond what float32 holds"),
        ({"r": 10**400}, "rank of"),
        ({"rank_pattern": [8]}, "rank_pattern is not an object"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_name(tmp_path, config, reason):
    with pytest.raises(FormatError, match=reason):
        read_adapter(write_adapter(tmp_path / "lora", **config))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("down_proj", True), ("mlp.down_proj", True), (r"0\.mlp\.down_proj", True), ("own_proj", False),
        ("model.layers.0.mlp.down_proj", True), ("^model.layers.0.mlp.down_proj", True), ("^down_proj", False),
        ("layers.1.mlp.down_proj", False),
    ],
)  # fmt: skip
def test_a_pattern_that_is_a_name_fits_the_end_of_a_path_as_pefts_does(tmp_path, pattern, fits):
    from peft.utils.other import get_pattern_key

    (module,) = read_adapter(write_adapter(tmp_path / "lora", alpha_pattern={pattern: 6})).modules
    assert module.scale == (3.0 if fits else 1.0)
    assert (get_pattern_key([pattern], module.path) == pattern) == fits


def _rename(old: str, new: str):
    def edit(arrays):
        (key,) = (key for key in arrays if key.endswith(old))
        arrays[key.removesuffix(old) + new] = arrays.pop(key)

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_rename(".lora_A.weight", ".lora_embedding_A"), "lora_embedding_A"),
        (_rename(".lora_A.weight", ".lora_magnitude_vector.weight"), "lora_magnitude_vector"),
        (lambda arrays: arrays.popitem(), "has only lora_"),
        (lambda arrays: arrays.clear(), "holds no factors"),
        (lambda arrays: next(iter(arrays.values())).fill(np.nan), "NaN"),
        (lambda arrays: arrays.update({key: value.astype(np.int32) for key, value in arrays.items()}), "I32"),
    ],
)
def test_factors_that_are_none_are_refused_by_name(tmp_path, edit, reason):
    folder = write_adapter(tmp_path / "lora")
    change(folder, edit)
    with pytest.raises(FormatError, match=reason):
        read_adapter(folder)


def test_a_damaged_file_and_a_pickle_are_refused(tmp_path):
    folder = write_adapter(tmp_path / "lora")
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(FormatError, match="not a whole safetensors file"):
        read_adapter(folder)
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(NotFoundError, match="a pickle"):
        read_adapter(folder)
    (folder / CONFIG).write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        read_adapter(folder)
    (folder / CONFIG).unlink()
    (folder / CONFIG).mkdir()
    with pytest.raises(NotFoundError, match="cannot be read: Is a directory"):
        read_adapter(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(NotFoundError, match="neither an edit package nor a LoRA adapter"):
        kind_of(folder)
    with pytest.raises(NotFoundError, match="there is no folder"):
        kind_of(Path("a" * 5000))
