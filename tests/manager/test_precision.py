"""Bases of every precision, edited in every precision: the methods hold, and the scores say what was computed in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import load_file

from patchmgr.errors import MethodError, UsageError
from patchmgr.live.load import load_model
from patchmgr.manager.manager import Manager
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.request import EditRequest
from patchmgr.testing.method_case import changed_copy, target_log_probability
from patchmgr_memit import Memit
from patchmgr_rome import Rome
from tiny_models import ARCHITECTURES, tiny_model, tiny_tokenizer

REQUESTS = (EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),)
QUICK: dict[str, Any] = {"statistics": "identity", "steps": 3, "context_count": 1, "weight_decay": 1e-3}
STEADY: dict[str, Any] = {
    **QUICK,
    "steps": 20,
    "learning_rate": 0.03,
    "context_count": 0,
    "clamp": 10.0,
    "kl_factor": 0,
}
NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("method", [Rome(), Memit()], ids=["rome", "memit"])
def test_a_model_in_bfloat16_is_edited_with_effect(architecture, method, tmp_path):
    """The change, computed in bfloat16, makes each target likelier in the model that is not rounded."""
    narrow = LoadedModel(tiny_model(architecture, dtype=torch.bfloat16), tiny_tokenizer(), "narrow")
    wide = LoadedModel(tiny_model(architecture), tiny_tokenizer(), "wide")
    context = EditContext(ArtefactStore(tmp_path), seed=7)
    payload = method.edit(narrow, REQUESTS[:1], method.parameters(**STEADY), context)
    assert all(np.isfinite(delta.u).all() and np.isfinite(delta.v).all() for delta in payload.deltas)
    edited = LoadedModel(changed_copy(wide.model, payload), wide.tokenizer, "edited")
    assert target_log_probability(edited, REQUESTS[0]) > target_log_probability(wide, REQUESTS[0]) + 0.05


@pytest.mark.parametrize("method", [Rome(), Memit()], ids=["rome", "memit"])
def test_a_model_in_float16_is_edited_almost_as_in_float32(method, tmp_path):
    payloads = []
    for dtype in (torch.float32, torch.float16):
        model = tiny_model("llama", dtype=torch.float16).to(dtype)
        loaded = LoadedModel(model, tiny_tokenizer(), "same numbers")
        settings = method.parameters(**STEADY)
        payloads.append(method.edit(loaded, REQUESTS[:1], settings, EditContext(ArtefactStore(tmp_path), seed=7)))
    wide, narrow = (payload.deltas[0].u @ payload.deltas[0].v for payload in payloads)
    assert np.linalg.norm(narrow - wide) < 0.1 * np.linalg.norm(wide)


# Through the registry


class Home:
    """A home with a tiny base of one precision."""

    def __init__(self, manager: Manager, base) -> None:
        self.manager, self.base = manager, base
        self.tiny = manager.model("tiny")

    def edit(self, name="fix", **options):
        return self.tiny.edit(name, REQUESTS[:1], **{**QUICK, **options})


@pytest.fixture
def home_of(home, tmp_path):
    opened = []

    def make(dtype):
        base = tmp_path / "base"
        tiny_model("llama", dtype=dtype).save_pretrained(base)
        tiny_tokenizer().save_pretrained(base)
        manager = Manager.open()
        opened.append(manager)
        manager.add_model("tiny", str(base))
        return Home(manager, base)

    yield make
    for manager in opened:
        manager.close()


@pytest.mark.parametrize("stored", NARROW.values(), ids=NARROW)
@pytest.mark.parametrize("method", ["rome", "memit"])
def test_a_narrow_checkpoint_goes_the_whole_way(home_of, stored, method):
    place = home_of(stored)
    made = place.edit(method=method)
    assert {score.compute_dtype for score in made.scores} == {"float32"}, "the processor computes wide"
    place.tiny.apply("fix")
    edited, before = (load_file(folder / "model.safetensors") for folder in (place.tiny.path, place.base))
    changed = [name for name in before if not torch.equal(edited[name], before[name])]
    touched = place.manager.show("fix").manifest.tensors
    assert changed == [tensor.name for tensor in touched]
    assert all(edited[name].dtype == stored for name in before)
    assert all(edited[name].isfinite().all() for name in changed)


@pytest.mark.parametrize(
    ("stored", "asked", "computed"),
    [
        (torch.float32, "bfloat16", "bfloat16"),
        (torch.float32, "float16", "float16"),
        (torch.bfloat16, "bfloat16", "bfloat16"),
        (torch.bfloat16, "float16", "float16"),
        (torch.float16, "auto", "float32"),
        (torch.float32, "auto", "float32"),
    ],
)
def test_scores_say_what_was_computed_in(home_of, stored, asked, computed):
    place = home_of(stored)
    made = place.edit(dtype=asked)
    assert {score.compute_dtype for score in made.scores} == {computed}
    (tensor,) = place.manager.show("fix").manifest.tensors
    assert tensor.dtype == {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[stored]


def test_the_scores_are_those_that_evaluate_finds_in_that_precision(home_of):
    place = home_of(torch.bfloat16)
    made = place.edit(dtype="bfloat16")
    found = place.tiny.evaluate("fix", dtype="bfloat16")
    measured = {(score.metric, score.phase): score.value for score in found.subjects[0].scores}
    ours = {(score.metric, score.phase): score.value for score in made.scores}
    assert {key: measured[key] for key in ours} == ours


# Devices


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there_is_refused(home_of, device):
    place = home_of(torch.float32)
    with pytest.raises(UsageError, match=f"this machine has no device '{device}'"):
        place.edit(device=device)
    with pytest.raises(UsageError, match="is no device"):
        place.edit(device="gpu")
    assert place.manager.registry.packages() == ()


def test_auto_is_a_device_that_is_there(home_of):
    assert home_of(torch.float32).edit(device="auto").version.n_edits == 1


def test_without_accelerate_a_map_of_devices_is_refused_with_the_way_to_get_it(home_of, monkeypatch):
    monkeypatch.setattr("patchmgr.live.load.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"accelerate, which is not installed.*patchmgr\[large\]"):
        home_of(torch.float32).edit(device_map="auto")


def test_a_model_of_which_a_part_is_elsewhere_is_refused(tmp_path, monkeypatch):
    """As accelerate keeps weights on the disk or in main memory that the devices have no room for."""
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    real = torch.nn.Module.named_parameters

    def away(model, *arguments, **options):
        for name, parameter in real(model, *arguments, **options):
            yield name, parameter.to("meta") if name.startswith("model.layers.2.mlp") else parameter

    monkeypatch.setattr(torch.nn.Module, "named_parameters", away)
    with pytest.raises(MethodError, match=r"not the memory for 3 weights of the model, from 'model.layers.2.mlp.*'"):
        load_model(tmp_path, "root")


def test_hooks_of_accelerate_change_nothing(tmp_path):
    """Spread models have their ``forward`` overridden on every module; the methods take that as it is."""
    plain, spread = (LoadedModel(tiny_model("llama"), tiny_tokenizer(), "one") for _ in range(2))
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    layers = {f"model.layers.{layer}": "cpu" for layer in range(3)}
    dispatch_model(spread.model, {**places, **layers}, force_hooks=True)
    block = spread.model.model.layers[1]
    own = block.__dict__["forward"]
    for method in (Rome(), Memit()):
        context = EditContext(ArtefactStore(tmp_path), seed=7)
        first, second = (
            method.edit(each, REQUESTS, method.parameters(**STEADY), context).deltas[0] for each in (plain, spread)
        )
        assert np.array_equal(first.u, second.u)
        assert np.array_equal(first.v, second.v)
    assert block.__dict__["forward"] is own
