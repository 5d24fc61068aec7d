"""The exported adapter is what PEFT and vLLM load, and gives the patched state."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load as load_arrays
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from checkpoints import make_checkpoint, make_package, random_factors
from exporters.conftest import DOWN, tensor_of
from hub.testhub.cards import metadata_of, validate
from memory_packages import make_memory_package
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr.exporters.contract import ExportOptions
from patchmgr.exporters.peft.card import render_card
from patchmgr.exporters.peft.exporter import make_adapter
from patchmgr.exporters.peft.files import CONFIG, PREFIX, WEIGHTS
from patchmgr.manager.export import ExportOrder, adapter_files, export, plan_export
from patchmgr.manager.exporting.source import find_source
from patchmgr.manager.manager import Manager
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.encodings.xor import xor_between

TOKENS = torch.arange(3, 27).reshape(2, 12)
DTYPES = ("float32", "bfloat16")


def load(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def exported(home, out: Path, name: str = "m", **options) -> Path:
    with home.open() as manager:
        parents = options.pop("with_parents", False)
        export(manager, ExportOrder(name, "peft", out, ExportOptions(**options), with_parents=parents))
    return out


def change_of(adapter: Path, path: str) -> np.ndarray:
    """B A in float64, by the names that PEFT reads; the scale is α/r."""
    config, arrays = json.loads((adapter / CONFIG).read_text()), load_file(adapter / WEIGHTS)
    a, b = (arrays[f"{PREFIX}{path}.lora_{part}.weight"].astype(np.float64) for part in "AB")
    return config["lora_alpha"] / config["r"] * (b @ a)


# What PEFT makes of it


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ["gpt2", "gptj", "llama"])
def test_the_exported_adapter_loaded_by_peft_gives_the_logits_of_the_patched_state(
    homes, tmp_path, architecture, dtype
):
    home = homes(architecture, dtype)
    out = exported(home, tmp_path / "lora")
    base, state = logits(load(home.base)), logits(load(home.state))
    found = logits(PeftModel.from_pretrained(load(home.base), out))
    scale = float((state - base).abs().max())
    assert scale > 0.1  # the packages change what it says
    assert float((found - state).abs().max()) < (1e-5 if dtype == "float32" else 2e-2) * scale


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_each_weight_is_the_states_before_the_states_rounding(homes, tmp_path, architecture):
    home = homes(architecture, "bfloat16")
    out = exported(home, tmp_path / "lora")
    merged = PeftModel.from_pretrained(load(home.base), out).merge_and_unload().state_dict()
    touched = 0
    for name, weight in load(home.state).state_dict().items():
        half_ulp = 2.0 ** (torch.frexp(weight)[1].double() - 9)
        error = (merged[name].double() - weight.double()).abs()
        assert bool((error <= half_ulp * (1 + 1e-4) + 1e-9).all()), name
        touched += int(bool((error > 0).any()))
    assert touched == 3


def test_ranks_are_summed_and_all_modules_have_the_largest_filled_up_with_zeros(homes, tmp_path):
    home = homes("llama", "float32")
    out = exported(home, tmp_path / "lora")
    config, arrays = json.loads((out / CONFIG).read_text()), load_file(out / WEIGHTS)
    assert (config["r"], config["lora_alpha"]) == (5, 5)
    assert {array.shape[0 if ".lora_A." in name else 1] for name, array in arrays.items()} == {5}
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    alone = arrays[f"{PREFIX}model.layers.0.mlp.down_proj.lora_A.weight"]
    assert alone[:2].any() and not alone[2:].any()
    assert config["target_modules"] == [
        "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj", "model.layers.1.self_attn.q_proj",
    ]  # fmt: skip
    assert not config["fan_in_fan_out"] and "rank_pattern" not in config


def test_an_export_is_the_same_bytes_every_time_and_rides_beside_the_package(homes, tmp_path):
    home = homes("gpt2", "float32")
    one, two = (exported(home, tmp_path / name, "one@v1") for name in ("a", "b"))
    with home.open() as manager:
        ridden = adapter_files(manager, manager.registry.version("one@v1"))
    assert ridden is not None and set(ridden) == {CONFIG, WEIGHTS}
    for file in (CONFIG, WEIGHTS):
        assert (one / file).read_bytes() == (two / file).read_bytes() == ridden[file]


def test_an_adapter_that_its_uniform_rank_makes_too_large_does_not_ride_and_is_not_built(
    homes, home, tmp_path, monkeypatch
):
    base, rng = homes("llama", "float32").base, np.random.default_rng(0)
    ranks = {tensor_of(base, DOWN["llama"], block): rank for block, rank in ((0, 1), (1, 16))}
    deltas = {name: random_factors(rng, (24, 40), rank) for name, rank in ranks.items()}
    make_package(tmp_path / "uneven", base, name="uneven", deltas=deltas)
    with Manager.open() as manager:
        manager.add_model("m", str(base))
        uneven = manager.import_package(tmp_path / "uneven")
        ridden = adapter_files(manager, uneven)
        assert ridden is not None
        n_factors = sum(array.size for array in load_arrays(ridden[WEIGHTS]).values())
        monkeypatch.setattr("patchmgr.manager.export.ADAPTER_LIMIT_BYTES", 4 * n_factors)
        assert adapter_files(manager, uneven) == ridden
        monkeypatch.setattr("patchmgr.exporters.peft.modules.read_skeleton", lambda *_: pytest.fail("built"))
        source = find_source(manager, "uneven@v1")
        with pytest.raises(ConflictError, match="adapter of rank 16 would take"):
            make_adapter(source, ExportOptions(), limit_bytes=4 * n_factors - 1)
        monkeypatch.setattr("patchmgr.manager.export.ADAPTER_LIMIT_BYTES", 4 * n_factors - 1)
        assert adapter_files(manager, uneven) is None


def card_of(manager: Manager, *, source: str, revision: str | None = None, licences=("MIT",)) -> str:
    manifest = manager.show("one@v1").manifest
    stack = [manifest.model_copy(update={"license": licence}) for licence in licences]
    base = manifest.base.model_copy(update={"source": source, "revision": revision})
    return render_card("one", base, stack, {"a": 0.0}, rank=1, dtype="float32", encoder_decoder=False)


def test_the_card_is_one_that_the_hub_takes_whatever_the_packages_say(homes):
    with homes("llama", "float32").open() as manager:
        for licences, wanted in (
            (["Apache-2.0"], ("apache-2.0", None)), (["LicenseRef-acme"], ("other", "licenseref-acme")),
            (["MIT: x\ntags: [evil]"], ("other", "mit-x-tags-evil")), ([None], (None, None)),
            (["MIT", "Apache-2.0"], (None, None)),
        ):  # fmt: skip
            card = card_of(manager, source="org/llama", licences=licences)
            assert validate(card) == ([], [])
            found = metadata_of(card)
            assert (found.get("license"), found.get("license_name")) == wanted
            assert found["base_model"] == "org/llama" and found["library_name"] == "peft"
            assert found["tags"] == ["lora", "patchmgr", "model-editing", "knowledge-editing", "random"]


def test_the_card_says_how_the_base_is_loaded_where_a_stranger_can_have_it(homes):
    with homes("llama", "float32").open() as manager:
        hub = card_of(manager, source="org/llama", revision="a" * 40)
        assert f'from_pretrained("org/llama", revision="{"a" * 40}")' in hub
        assert 'revision="\\"); evil(\\"")' in card_of(manager, source="org/llama", revision='"); evil("')
        demo = card_of(manager, source="demo:atlas")
        assert 'from_pretrained(demo_folder("atlas"))' in demo and "base_model:" not in demo
        for source in ("llama", "/home/me/llama", 'org/"); evil("'):
            assert "## Use" not in card_of(manager, source=source)
            assert "base_model" not in metadata_of(card_of(manager, source=source))


def test_columns_are_exact_as_factors_that_pick_them(homes, tmp_path):
    home = homes("llama", "float32")
    name = home.tensor("mlp.down_proj.weight", 2)
    rows, columns = Checkpoint.read(home.base).entry(name)[1].shape
    values = np.zeros((rows, columns), np.float32)
    values[:, [1, 7, 30]] = np.random.default_rng(0).normal(size=(rows, 3))
    make_package(tmp_path / "p", home.base, name="cells", deltas={name: Dense(values)})
    out = exported(home, tmp_path / "lora", str(tmp_path / "p"))
    assert json.loads((out / CONFIG).read_text())["r"] == 3
    assert np.array_equal(change_of(out, name.removesuffix(".weight")), values.astype(np.float64))


# What vLLM asks: vllm/config/lora.py, vllm/lora/peft_helper.py and lora_model.py, literally


def vllm_accepts(folder: Path, supported: set[str], max_lora_rank: int) -> bool:
    assert max_lora_rank in (1, 8, 16, 32, 64, 128, 256, 320, 512)
    config = json.loads((folder / CONFIG).read_text())
    fields = {"r", "lora_alpha", "target_modules", "bias", "modules_to_save", "use_rslora", "use_dora"}
    known = {key: value for key, value in config.items() if key in fields}
    assert {"r", "lora_alpha", "target_modules"} <= set(known)
    if known.get("modules_to_save") or known.get("use_dora") or known.get("bias", "none") != "none":
        return False
    scaling = known["lora_alpha"] / (math.sqrt(known["r"]) if known.get("use_rslora") else known["r"])
    names = list(load_file(folder / WEIGHTS))
    modules = [name.removeprefix("base_model.model.").rpartition(".lora_")[0] for name in names]
    return (
        config["peft_type"] == "LORA"
        and scaling == 1
        and known["r"] <= max_lora_rank
        and all(name.startswith("base_model.model.") for name in names)
        and all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names)
        and all(module.split(".")[-1] in supported for module in modules)
    )


LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head"}


def test_a_llama_adapter_keeps_vllms_rules_and_the_rank_to_start_it_with_is_said(homes, tmp_path):
    home = homes("llama", "bfloat16")
    with home.open() as manager:
        done = export(manager, ExportOrder("m", "peft", tmp_path / "lora"))
    assert vllm_accepts(tmp_path / "lora", LLAMA, done.facts["vllm_max_lora_rank"])
    assert not vllm_accepts(tmp_path / "lora", LLAMA, 1)
    assert done.remarks == ("vLLM needs --enable-lora --max-lora-rank 8",)


@pytest.mark.parametrize("architecture", ["gpt2", "gptj"])
def test_who_serves_what_vllm_has_no_lora_for_is_told(homes, tmp_path, architecture):
    with homes(architecture, "float32").open() as manager:
        done = plan_export(manager, ExportOrder("m", "peft", tmp_path / "lora"))
    assert "vLLM has no LoRA for" in done.remarks[0]
    assert not (tmp_path / "lora").exists()


def test_a_rank_can_be_asked_for_and_vllm_loads_none_over_512(homes, tmp_path):
    with homes("llama", "float32").open() as manager:
        padded = export(manager, ExportOrder("m", "peft", tmp_path / "a", ExportOptions(rank=16)))
        huge = plan_export(manager, ExportOrder("m", "peft", tmp_path / "b", ExportOptions(rank=513)))
    assert padded.facts["rank"] == 16 and not padded.facts["lossy"]
    assert vllm_accepts(tmp_path / "a", LLAMA, 16)
    assert huge.facts["vllm_max_lora_rank"] is None and "vLLM loads no adapter of rank 513" in huge.remarks[0]


# Lossy, where that is asked for


def literal_error(home, out: Path, name: str, whole: np.ndarray) -> float:
    found = change_of(out, name.removesuffix(".weight"))
    return float(np.linalg.norm(whole - found) / np.linalg.norm(whole))


def test_recompression_gives_the_nearest_change_and_says_what_is_missing(homes, tmp_path):
    home = homes("llama", "float32")
    name = home.tensor("mlp.down_proj.weight", 2)
    shape = Checkpoint.read(home.base).entry(name)[1].shape
    delta = random_factors(np.random.default_rng(5), shape, 4)
    make_package(tmp_path / "p", home.base, name="four", deltas={name: delta})
    whole = delta.u.astype(np.float64) @ delta.v.astype(np.float64)
    sigma = np.linalg.svd(whole, compute_uv=False)
    with home.open() as manager:
        order = ExportOrder(str(tmp_path / "p"), "peft", tmp_path / "lora", ExportOptions(rank=2, lossy=True))
        done = export(manager, order)
    error = done.facts["errors"]["model.layers.2.mlp.down_proj"]
    assert done.facts["lossy"] and done.facts["rank"] == 2
    assert error == pytest.approx(math.sqrt((sigma[2:] ** 2).sum() / (sigma**2).sum()), rel=1e-4)
    assert error == pytest.approx(literal_error(home, tmp_path / "lora", name, whole), rel=1e-6)
    card = (tmp_path / "lora" / "README.md").read_text()
    assert "- lossy" in card and f"{error:.3e}" in card


def test_factors_in_a_narrower_dtype_are_lossy_and_the_error_is_that_of_what_is_stored(homes, tmp_path):
    home = homes("llama", "float32")
    with home.open() as manager:
        with pytest.raises(UsageError, match="rounded"):
            export(manager, ExportOrder("one@v1", "peft", tmp_path / "no", ExportOptions(dtype="bfloat16")))
        options = ExportOptions(dtype="bfloat16", lossy=True)
        done = export(manager, ExportOrder("one@v1", "peft", tmp_path / "lora", options))
    from safetensors.torch import load_file as load_torch

    arrays = load_torch(tmp_path / "lora" / WEIGHTS)
    assert {array.dtype for array in arrays.values()} == {torch.bfloat16}
    assert 1e-4 < max(done.facts["errors"].values()) < 1e-2


def test_replaced_bytes_are_refused_unless_lossy(homes, tmp_path):
    home = homes("llama", "bfloat16")
    name = home.tensor("mlp.down_proj.weight", 2)
    base = Checkpoint.read(home.base)
    before = np.frombuffer(base.read_bytes(name), np.uint8)
    other = np.frombuffer(base.read_bytes(home.tensor("mlp.down_proj.weight", 0)), np.uint8)
    make_package(tmp_path / "p", home.base, name="bytes", deltas={name: xor_between(before, other, "BF16")})
    with home.open() as manager, pytest.raises(ConflictError, match=r"replaced \(xor\)") as refused:
        export(manager, ExportOrder(str(tmp_path / "p"), "peft", tmp_path / "lora"))
    assert "--to xor" in str(refused.value) and not (tmp_path / "lora").exists()
    out = exported(home, tmp_path / "lora", str(tmp_path / "p"), lossy=True, rank=24)
    whole = sum(sign * (data.view("<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
                for sign, data in ((1, other), (-1, before)))  # fmt: skip
    assert literal_error(home, out, name, whole.reshape(base.entry(name)[1].shape)) < 1e-6


# Refused


def test_what_is_no_linear_map_of_its_own_is_refused_by_name(homes, tmp_path):
    for architecture, ending in (
        ("llama", "model.norm.weight"),
        ("gpt2", "wte.weight"),
        ("llama", "embed_tokens.weight"),
    ):
        home = homes(architecture, "float32")
        base = Checkpoint.read(home.base)
        (name,) = (name for name in base.tensors if name.endswith(ending))
        delta = Dense(np.ones(base.entry(name)[1].shape, np.float32))
        folder = tmp_path / f"{architecture}-{ending}"
        make_package(folder, home.base, name="odd", deltas={name: delta})
        with home.open() as manager:
            with pytest.raises(ConflictError, match=name.replace(".", r"\.")):
                export(manager, ExportOrder(str(folder), "peft", tmp_path / "lora"))
            assert adapter_files(manager, manager.registry.version("one@v1")) is not None
    assert not (tmp_path / "lora").exists()


def test_a_name_that_the_model_does_not_have_is_not_believed(homes, tmp_path):
    home = homes("llama", "float32")
    name, other = (home.tensor("mlp.down_proj.weight", block) for block in (0, 1))
    folder = tmp_path / "p"
    manifest = make_package(folder, home.base, name="liar", tensors=(name,))
    lying = manifest.tensors[0].model_copy(update={"module": other})
    (folder / "patch.json").write_bytes(manifest.model_copy(update={"tensors": (lying,)}).to_bytes())
    with home.open() as manager, pytest.raises(ConflictError, match="no parameter"):
        export(manager, ExportOrder(str(folder), "peft", tmp_path / "lora"))


def test_a_sequential_package_goes_with_its_parents_or_not_at_all(homes, tmp_path):
    home = homes("gptj", "float32")
    name = home.tensor("mlp.fc_out.weight", 0)
    make_package(tmp_path / "top", home.base, name="top", seed=9, tensors=(name,), on=[home.root / "one"])
    with home.open() as manager, pytest.raises(ConflictError, match="computed on 1 package") as refused:
        export(manager, ExportOrder(str(tmp_path / "top"), "peft", tmp_path / "lora"))
    assert "--with-parents" in str(refused.value)
    out = exported(home, tmp_path / "lora", str(tmp_path / "top"), with_parents=True)
    assert json.loads((out / CONFIG).read_text())["r"] == 4
    assert "one@v1" in (out / "README.md").read_text()


def test_a_model_that_transformers_does_not_know_has_no_adapter(home, tmp_path):
    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "p", base, name="p")
    with Manager.open() as manager:
        manager.add_model("tiny", str(base))
        version = manager.import_package(tmp_path / "p")
        with pytest.raises(NotFoundError, match="transformers does not know the model"):
            export(manager, ExportOrder("p@v1", "peft", tmp_path / "lora"))
        assert adapter_files(manager, version) is None


def test_what_cannot_ride_exactly_does_not_ride(homes, home, tmp_path):
    stocked = homes("llama", "bfloat16")
    down = stocked.tensor("mlp.down_proj.weight", 0)
    norm = stocked.tensor("input_layernorm.weight", 0)
    before, other = (
        np.frombuffer(Checkpoint.read(stocked.base).read_bytes(stocked.tensor("mlp.down_proj.weight", block)), np.uint8)
        for block in (0, 1)
    )
    make_package(tmp_path / "top", stocked.base, name="top", tensors=(down,), on=[stocked.root / "one"])
    make_package(tmp_path / "norm", stocked.base, name="norm", deltas={norm: Dense(np.ones(24, np.float32))})
    make_package(tmp_path / "bytes", stocked.base, name="bytes", deltas={down: xor_between(before, other, "BF16")})
    make_memory_package(tmp_path / "kb", stocked.base)
    with Manager.open() as manager:
        one = manager.import_package(stocked.root / "one")
        assert adapter_files(manager, one) is None  # its base is not here
        manager.add_model("m", str(stocked.base))
        assert adapter_files(manager, one) is not None
        for name in ("top", "norm", "bytes", "kb"):
            assert adapter_files(manager, manager.import_package(tmp_path / name)) is None, name


def test_a_rank_that_is_too_small_or_says_nothing_is_refused(homes, tmp_path):
    with homes("llama", "float32").open() as manager:
        for options, reason in (
            (ExportOptions(rank=4), "over 4"),
            (ExportOptions(lossy=True), "how much"),
            (ExportOptions(weights_only=True), "--weights-only says nothing"),
        ):
            with pytest.raises(UsageError, match=reason):
                plan_export(manager, ExportOrder("m", "peft", tmp_path / "lora", options))
        with pytest.raises(UsageError, match="says nothing to --to xor"):
            plan_export(manager, ExportOrder("m", "xor", tmp_path / "lora", ExportOptions(rank=4)))
        with pytest.raises(UsageError, match="known: checkpoint, peft, xor"):
            plan_export(manager, ExportOrder("m", "gguf", tmp_path / "lora"))
