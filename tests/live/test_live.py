"""Live models: parameters paired by bytes, and replaced exactly for a while."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

import patchmgr
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import ConflictError, MethodError, NotFoundError
from patchmgr.live.load import load_model
from patchmgr.live.pairing import checkpoint_name, checkpoint_names, elements, parameter
from patchmgr.live.replace import replaced
from patchmgr.manager.manager import Manager
from patchmgr.manager.states import open_version
from tiny_models import tiny_model, tiny_tokenizer


@pytest.fixture(params=["gpt2", "llama"])
def folder(request, tmp_path):
    tiny_model(request.param, dtype=torch.bfloat16).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def down_projection(model) -> str:
    return next(
        name
        for name, _ in model.named_parameters()
        if name.endswith(("c_proj.weight", "down_proj.weight")) and "mlp" in name
    )


def test_parameters_are_paired_with_the_tensors_that_hold_their_bytes(folder):
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    name = down_projection(loaded.model)
    found = checkpoint_name(loaded.model, name, checkpoint)
    _, entry = checkpoint.entry(found)
    stored = elements(checkpoint.read_bytes(found), entry.dtype, entry.shape)
    assert torch.equal(stored.float(), parameter(loaded.model, name))


def test_a_parameter_that_the_checkpoint_does_not_hold_is_refused(folder):
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    name = down_projection(loaded.model)
    with torch.no_grad():
        parameter(loaded.model, name)[0, 0] += 1
    with pytest.raises(MethodError, match="is not one tensor of the checkpoint"):
        checkpoint_name(loaded.model, name, checkpoint)
    with pytest.raises(MethodError, match="has no parameter 'nothing'"):
        parameter(loaded.model, "nothing")


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_replaced_weights_are_back_bit_for_bit_even_after_an_error(folder, dtype):
    loaded = load_model(folder, "root", dtype=dtype)
    name = down_projection(loaded.model)
    live = parameter(loaded.model, name)
    before, address = live.detach().clone(), live.data_ptr()
    inner = torch.full_like(before, 2.0)
    with pytest.raises(ZeroDivisionError), replaced(loaded.model, {name: torch.ones_like(before)}):
        assert torch.equal(live, torch.ones_like(before))
        with replaced(loaded.model, {name: inner}):
            assert torch.equal(live, inner)
        assert torch.equal(live, torch.ones_like(before))
        raise ZeroDivisionError
    assert torch.equal(live.view(torch.uint8), before.view(torch.uint8))
    assert live.data_ptr() == address


def test_a_folder_that_cannot_be_loaded_is_said_in_words(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no-such-thing"}')
    with pytest.raises(NotFoundError, match="cannot be loaded as a language model"):
        load_model(tmp_path, "root")


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_hot_apply_is_the_applied_state_and_leaves_the_model_as_it_was(folder, tmp_path_factory, dtype):
    request = {"prompt": "The capital of {} is", "subject": "France", "target_new": "Rome"}
    quick = {"statistics": "identity", "steps": 3, "context_count": 1}
    with Manager.open(tmp_path_factory.mktemp("hot")) as manager:
        manager.add_model("tiny", str(folder))
        tiny = manager.model("tiny")
        package = open_version(manager, tiny.edit("fix", [request], **quick).version)
        model, _ = tiny.load(dtype=dtype)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        tiny.apply("fix")
        applied = tiny.load(dtype=dtype)[0].state_dict()
        with patchmgr.hot_apply(model, package):
            assert all(torch.equal(value, applied[name]) for name, value in model.state_dict().items())
            with pytest.raises(ConflictError, match="in force already"), patchmgr.hot_apply(model, package):
                pass
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


HEADS = {
    "gpt2": ("transformer.wte.weight", "lm_head.weight"),
    "llama": ("model.embed_tokens.weight", "lm_head.weight"),
}


@pytest.fixture(params=HEADS)
def tied(request, tmp_path):
    """A folder whose head is tied and stored once, with the names of both."""
    embedding, head = HEADS[request.param]
    model = tiny_model(request.param, tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert head not in load_file(tmp_path / "model.safetensors")
    return tmp_path, embedding, head


def store_head(folder, embedding, head, change=None):
    tensors = load_file(folder / "model.safetensors")
    tensors[head] = tensors[embedding].clone() if change is None else change(tensors[embedding].clone())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_tied_weight_that_is_stored_once_is_found_by_either_name(tied):
    folder, embedding, head = tied
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    for name in (embedding, head):
        assert checkpoint_names(loaded.model, name, checkpoint) == {embedding: embedding}


def test_a_tied_weight_that_is_stored_twice_is_found_in_both_places(tied):
    folder, embedding, head = tied
    store_head(folder, embedding, head)
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    for name in (embedding, head):
        assert checkpoint_names(loaded.model, name, checkpoint) == {embedding: embedding, head: head}
        assert checkpoint_name(loaded.model, name, checkpoint) == name


def test_a_head_that_is_stored_with_other_numbers_is_a_tensor_of_its_own(tied):
    """Transformers does not tie what differs, whatever the config says."""
    folder, embedding, head = tied
    store_head(folder, embedding, head, lambda tensor: tensor + 1)
    loaded, checkpoint = load_model(folder, "root"), Checkpoint.read(folder)
    for name in (embedding, head):
        assert checkpoint_names(loaded.model, name, checkpoint) == {name: name}


def test_a_tied_weight_whose_stored_copies_have_parted_is_refused(tied):
    """As a model that was changed after loading would be."""
    folder, embedding, head = tied
    store_head(folder, embedding, head)
    loaded = load_model(folder, "root")
    store_head(folder, embedding, head, lambda tensor: tensor + 1)
    with pytest.raises(MethodError, match=rf"'{head}' is not one tensor of the checkpoint"):
        checkpoint_names(loaded.model, embedding, Checkpoint.read(folder))


def test_an_untied_head_is_a_tensor_of_its_own(tmp_path):
    model = tiny_model("llama", tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "untied")
    tiny_tokenizer().save_pretrained(tmp_path / "untied")
    loaded, checkpoint = load_model(tmp_path / "untied", "root"), Checkpoint.read(tmp_path / "untied")
    for name in HEADS["llama"]:
        assert checkpoint_names(loaded.model, name, checkpoint) == {name: name}


def test_code_that_comes_with_a_model_is_never_run(tmp_path, monkeypatch):
    """Neither run nor offered to be run."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run foreign code"))
    (tmp_path / "config.json").write_text(
        '{"model_type": "odd", "auto_map": {"AutoConfig": "conf.Odd", "AutoModelForCausalLM": "conf.Odd"}}'
    )
    (tmp_path / "conf.py").write_text("raise SystemExit('foreign code ran')")
    with pytest.raises(NotFoundError, match="cannot be loaded"):
        load_model(tmp_path, "root")
