"""Every architecture the whole way: edit, apply, and load the folder with plain transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from patchmgr.manager.manager import Manager
from tiny_models import ARCHITECTURES, tiny_model, tiny_tokenizer

QUICK = {"statistics": "identity", "steps": 3, "context_count": 1, "weight_decay": 1e-3}


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("dtype", [torch.bfloat16], ids=["bf16"])
def test_edit_apply_and_load(architecture, dtype, home, tmp_path):
    tiny_model(architecture, dtype=dtype).save_pretrained(tmp_path, max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path)
    request = {"prompt": "The capital of {} is", "subject": "France", "target_new": "Rome"}
    with Manager.open() as manager:
        manager.add_model("tiny", str(tmp_path))
        tiny = manager.model("tiny")
        version = tiny.edit("fix", [request], **QUICK).version
        package = manager.show(version.reference).manifest
        tiny.apply("fix")
        edited = AutoModelForCausalLM.from_pretrained(tiny.path).state_dict()
    base = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert [touched.module for touched in package.tensors] == [
        name for name in base if not torch.equal(base[name], edited[name])
    ]


def test_edits_of_one_package_stack_up(home, tmp_path):
    """Several requests in one call are one delta of rank n."""
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    requests = [
        {"prompt": "The capital of {} is", "subject": subject, "target_new": "Rome"} for subject in ("France", "Spain")
    ]
    with Manager.open() as manager:
        manager.add_model("tiny", str(tmp_path))
        version = manager.model("tiny").edit("fix", requests, **QUICK).version
        (delta,) = manager.show(version.reference).manifest.tensors
        assert version.n_edits == 2
        assert delta.dtype == "F32"
