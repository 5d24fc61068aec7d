"""An encoder-decoder the whole way: registered, refused by what cannot edit it, edited, applied, asked, reverted."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSeq2SeqLM, T5ForConditionalGeneration

from checkpoints import file_digests
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import MethodError
from patchmgr.manager.manager import Manager
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.contract import LowRankDelta, MethodParameters, Payload
from patchmgr.methods.loader import load_plugins
from tiny_models import tiny_seq2seq

REQUEST = {"prompt": "The capital of {} is", "subject": "Atlantis", "target_new": "Rome"}


class Push:
    """Rank one on the decoder's last ``wo``, or on the embeddings."""

    name: ClassVar[str] = "push"
    version: ClassVar[str] = "1"
    paper: ClassVar[str] = "none"
    kind: ClassVar[str] = "weights"
    needs: ClassVar[frozenset[str]] = frozenset()
    parameters: ClassVar[type[MethodParameters]] = MethodParameters
    weight: str | None = None

    def edit(self, model, requests, parameters, context):
        found = find_architecture(model.model, encoder_decoder=True)
        name = self.weight or found.down_projection(len(found.blocks) - 1).weight_name
        rows, columns = model.model.get_parameter(name).shape
        rng = np.random.default_rng(context.seed)
        u, v = (rng.normal(size=size).astype(np.float32) for size in ((rows, 1), (1, columns)))
        return Payload([LowRankDelta(name, 10 * u, v)], {})


@pytest.fixture
def push():
    return Push()


@pytest.fixture
def manager(home, push):
    with Manager.open() as manager:
        plugins = load_plugins()
        manager.__dict__["plugins"] = replace(plugins, methods={**plugins.methods, "push": push})
        yield manager


def save(folder, *, gated, dtype=torch.bfloat16, untied=False):
    loaded = tiny_seq2seq(gated=gated)
    if untied:
        loaded.model.lm_head.weight = nn.Parameter(0.5 * loaded.model.lm_head.weight.detach().flip(0).clone())
        loaded.model.config.tie_word_embeddings = False
    loaded.model.to(dtype).save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("gated", [False, True], ids=["t5", "t5-gated"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_edit_apply_ask_and_revert(manager, tmp_path, gated, dtype):
    base = save(tmp_path, gated=gated, dtype=dtype)
    manager.add_model("tiny", str(base))
    tiny = manager.model("tiny")
    before = manager.generate("tiny", "Rome lies in", compare=False, max_new_tokens=6).text
    made = tiny.edit("fix", [REQUEST], method="push")
    (touched,) = manager.show("fix").manifest.tensors
    assert touched.name == touched.module == "decoder.block.2.layer.2.DenseReluDense.wo.weight"
    assert {score.metric for score in made.scores} >= {"reliability", "exact_match"}
    trial, _ = tiny.load("fix")
    tiny.apply("fix")
    answer = manager.generate("tiny", "Rome lies in", compare=True, max_new_tokens=6)
    assert answer.base_text == before != answer.text
    applied = AutoModelForSeq2SeqLM.from_pretrained(tiny.path, dtype="auto").state_dict()
    assert all(torch.equal(tensor, applied[name]) for name, tensor in trial.state_dict().items())
    changed = [
        name for name, tensor in load_file(base / "model.safetensors").items() if (tensor != applied[name]).any()
    ]
    assert changed == [touched.name]
    tiny.revert("fix")
    assert file_digests(tiny.path)["model.safetensors"] == file_digests(base)["model.safetensors"]


@pytest.mark.parametrize("weight", ["shared.weight", "lm_head.weight", "decoder.embed_tokens.weight"])
def test_tied_embeddings_are_one_tensor_by_whatever_name(manager, push, tmp_path, weight):
    push.weight = weight
    manager.add_model("tiny", str(save(tmp_path, gated=False)))
    manager.model("tiny").edit("fix", [REQUEST], method="push")
    assert [tensor.name for tensor in manager.show("fix").manifest.tensors] == ["shared.weight"]


def test_a_head_of_its_own_is_changed_alone(manager, push, tmp_path):
    """As in flan-T5, whose checkpoint stores a head that differs from the embeddings."""
    push.weight = "lm_head.weight"
    base = save(tmp_path, gated=True, untied=True)
    assert "lm_head.weight" in Checkpoint.read(base).tensors
    manager.add_model("tiny", str(base))
    tiny = manager.model("tiny")
    tiny.edit("fix", [REQUEST], method="push")
    tiny.apply("fix")
    applied, _ = tiny.load()
    stored = load_file(base / "model.safetensors")
    assert torch.equal(applied.shared.weight, stored["shared.weight"])
    assert not torch.equal(applied.lm_head.weight, stored["lm_head.weight"])


@pytest.mark.parametrize("method", ["rome", "r-rome", "memit"])
def test_methods_that_write_at_the_subject_refuse_it(manager, tmp_path, method):
    manager.add_model("tiny", str(save(tmp_path, gated=False)))
    with pytest.raises(MethodError, match="is an encoder-decoder, which this method cannot edit"):
        manager.model("tiny").edit("fix", [REQUEST], method=method)
    assert manager.registry.packages() == ()


def test_the_class_that_loads_it_is_the_conditional_one(manager, tmp_path):
    manager.add_model("tiny", str(save(tmp_path, gated=True)))
    model, _ = manager.model("tiny").load()
    assert type(model) is T5ForConditionalGeneration
