"""Memory that runs out, wherever it does: one sentence with the next step, and nothing half-written."""

from __future__ import annotations

import errno
import json

import pytest
import torch

from patchmgr.errors import MethodError, NotFoundError
from patchmgr.live import load as live_load
from patchmgr.live.shortage import out_of_memory, within_memory
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.manager.placing import takes_less
from patchmgr.methods.contract import MethodParameters
from patchmgr.request import parse_request
from patchmgr_memit.parameters import MemitParameters
from tiny_models import tiny_model, tiny_tokenizer

REQUEST = {"prompt": "The capital of {} is", "subject": "France", "target_new": "Rome"}
ERRORS = {
    "numpy": MemoryError("Unable to allocate 3.00 GiB for an array"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has\nmore to say"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
}


@pytest.mark.parametrize("verb", ["generate", "evaluate"])
def test_asking_and_measuring_say_it_in_words(verb, tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise ERRORS["cpu"]

    monkeypatch.setattr("patchmgr.evaluate.forward.run_prompts", refuse)
    with Manager.open(tmp_path / "home") as manager:
        manager.add_model("atlas", "demo:atlas")
        with pytest.raises(MethodError, match=r"memory ran out while (asking the model|measuring atlas)"):
            if verb == "generate":
                manager.generate("atlas", "The capital of France is")
            else:
                data = tmp_path / "edits.jsonl"
                data.write_text(f"{json.dumps(REQUEST)}\n")
                manager.model("atlas").evaluate(data=data)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_every_way_to_run_out_of_memory_is_known(error):
    assert out_of_memory(error)
    with pytest.raises(MethodError, match="memory ran out while reading") as raised, within_memory("reading", hint="h"):
        raise error
    assert "\n" not in raised.value.message
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ENOENT, "gone"), ValueError("no")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as raised, within_memory("reading", hint="h"):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("order", "parameters", "hint"),
    [
        ({}, None, "try --dtype bfloat16"),
        ({"device": "cuda"}, None, "try --dtype bfloat16, or --device cpu"),
        ({"device": "cuda", "dtype": "bfloat16"}, MethodParameters(), "try --device cpu, or fewer edits at a time"),
        ({"dtype": "float16"}, MemitParameters(batch=20), "try --set batch=5, or fewer edits at a time"),
        ({"dtype": "float16"}, None, "use a machine with more memory"),
        ({"device": "cuda", "device_map": "auto"}, None, "try --dtype bfloat16"),
    ],
)
def test_the_next_step_is_one_that_is_left(order, parameters, hint):
    requests = (parse_request(REQUEST, where="here"),) * 2
    assert takes_less(EditOrder("fix", "memit", requests, **order), parameters) == hint


@pytest.fixture
def manager(home, tmp_path):
    tiny_model("gpt2").save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    with Manager.open() as manager:
        manager.add_model("tiny", str(tmp_path / "base"))
        yield manager


def fail(*_arguments, **_options):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("transformers.AutoModelForCausalLM.from_pretrained", "loading the model"),
        ("torch.nn.Module.to", "loading the model"),
        ("patchmgr_memit.edit.edit", "editing with memit"),
        ("patchmgr.evaluate.measure.measure_change", "measuring the result"),
    ],
)
def test_an_edit_that_runs_out_of_memory_leaves_nothing(manager, monkeypatch, place, words):
    monkeypatch.setattr(place, fail)
    with pytest.raises(MethodError, match=rf"ran out while {words} .CUDA out of memory. Tried to allocate") as raised:
        manager.model("tiny").edit("fix", [REQUEST], method="memit", statistics="identity", steps=1)
    assert "--dtype bfloat16" in raised.value.hint
    assert ("--set batch=" in raised.value.hint) == (words == "editing with memit")
    assert manager.registry.packages() == ()
    assert not list((manager.settings.home / "tmp").iterdir())


def test_what_cannot_be_loaded_for_another_reason_is_still_said_so(manager, monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("sizes differ")

    monkeypatch.setattr(live_load.AutoModelForCausalLM, "from_pretrained", broken)
    with pytest.raises(NotFoundError, match="cannot be loaded as a language model: sizes differ"):
        manager.model("tiny").edit("fix", [REQUEST])
