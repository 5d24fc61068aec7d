"""LoRA and AdaLoRA equal training with peft itself, with the same seed; refusals; what the payload says."""

from __future__ import annotations

import copy
import dataclasses
import sys

import numpy as np
import peft
import pytest
import torch
from torch.nn.functional import cross_entropy

from patchmgr.errors import MethodError
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.methods.tokens import encode_answered
from patchmgr.request import EditRequest
from patchmgr.testing import tiny_seq2seq
from patchmgr.testing.method_case import changed_copy
from patchmgr_lora import AdaLora, Lora
from tiny_models import ARCHITECTURES, loaded_model

TWO = (
    EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),
    EditRequest(prompt="Because of Ada Lovelace", target_new="the machine"),
)
METHODS = {"lora": Lora(), "adalora": AdaLora()}
SEED, RATE = 5, 1e-2

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft.*", "ignore::FutureWarning:transformers.*")


@pytest.fixture
def context(tmp_path):
    return EditContext(ArtefactStore(tmp_path / "artefacts"), seed=SEED)


def edit(method, loaded, context, **settings):
    parameters = METHODS[method].parameters(**{"steps": 2, "learning_rate": RATE, "dropout": 0, **settings})
    return METHODS[method].edit(loaded, TWO, parameters, context)


def plain_peft(loaded, config, *, steps, dropout=False):
    """A copy trained as peft's own documentation has it, one edit a step, and merged."""
    model = copy.deepcopy(loaded.model).eval()
    pairs = [(request.text, request.target_new) for request in TWO]
    rows = [encode_answered(loaded.tokenizer, *pair, apart=loaded.encoder_decoder) for pair in pairs]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config.task_type = (
            "SEQ_2_SEQ_LM" if loaded.encoder_decoder else "CAUSAL_LM"
        )  # else AdaLoRA adds nothing to the loss
        wrapped = peft.get_peft_model(model, config)
        optimiser = torch.optim.Adam([p for p in wrapped.parameters() if p.requires_grad], lr=RATE)
        for step in range(1, steps * len(rows) + 1):
            row = rows[(step - 1) % len(rows)]
            loss = _loss(wrapped, row, apart=loaded.encoder_decoder, dropout=dropout)
            loss.backward()
            optimiser.step()
            if isinstance(config, peft.AdaLoraConfig) and config.init_r > config.target_r:
                wrapped.base_model.update_and_allocate(step)
            optimiser.zero_grad()
    return wrapped.eval().merge_and_unload()


def _loss(wrapped, row, *, apart, dropout):
    if apart:
        return wrapped(input_ids=torch.tensor([row.prompt]), labels=torch.tensor([row.answer])).loss
    if dropout:  # the masks have the shape of what is read, which ends before the last token
        logits = wrapped(input_ids=torch.tensor([row.ids[:-1]])).logits[0, row.n_prompt - 1 :]
        return cross_entropy(logits, torch.tensor(row.answer))
    labels = torch.tensor([[-100] * row.n_prompt + list(row.answer)])
    return wrapped(input_ids=torch.tensor([row.ids]), labels=labels).loss


def assert_same(loaded, payload, trained):
    """Every changed weight is that of the merged model, no other differs, and both answer alike."""
    before, changed = dict(loaded.model.named_parameters()), {delta.module_weight: delta for delta in payload.deltas}
    for name, weight in trained.named_parameters():
        difference = (weight.detach() - before[name].detach()).numpy()
        if name in changed:
            distance = np.linalg.norm(changed[name].u @ changed[name].v - difference) / np.linalg.norm(difference)
            assert distance < 1e-4, (name, distance)
        else:
            assert not difference.any(), name
    ids = {"input_ids": torch.tensor([[5, 9, 17, 30, 8]])}
    if loaded.encoder_decoder:
        ids["decoder_input_ids"] = torch.tensor([[2, 11, 40]])
    with torch.no_grad():
        ours, theirs = changed_copy(loaded.model, payload)(**ids).logits, trained(**ids).logits
        tolerance = {"rtol": 0, "atol": 1e-4 * float(theirs.abs().max())}
        assert torch.allclose(ours, theirs, **tolerance)
        assert not torch.allclose(loaded.model(**ids).logits, theirs, **tolerance)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_change_is_that_of_a_model_trained_and_merged_by_peft(name, context):
    loaded = loaded_model(name)
    payload = edit("lora", loaded, context)
    names = sorted({site["module"].rpartition(".")[2] for site in payload.parameters["sites"]})
    config = peft.LoraConfig(r=8, lora_alpha=32, target_modules=names)
    assert_same(loaded, payload, plain_peft(loaded, config, steps=2))


@pytest.mark.parametrize("names", [["c_attn"], ["c_proj"], ["c_attn", "c_fc"]])
def test_weights_of_gpt2_that_lie_the_other_way_round_or_are_square_are_right(names, context):
    loaded = loaded_model("gpt2")
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=names, fan_in_fan_out=True)
    payload = edit("lora", loaded, context, rank=3, alpha=5, target_modules=names)
    assert len(payload.deltas) == 3 * (2 if "c_attn" not in names else len(names))
    assert_same(loaded, payload, plain_peft(loaded, config, steps=2))


def test_the_same_inputs_are_left_out_by_dropout(context):
    loaded = loaded_model("llama")
    config = peft.LoraConfig(r=8, lora_alpha=32, lora_dropout=0.3, target_modules=["q_proj", "v_proj"])
    payload = edit("lora", loaded, context, dropout=0.3)
    assert_same(loaded, payload, plain_peft(loaded, config, steps=2, dropout=True))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("target", [3, 5])
def test_adalora_gives_up_the_ranks_that_peft_gives_up(name, target, context):
    """Or none, where it begins with as many as it shall end with."""
    loaded = loaded_model(name)
    payload = edit("adalora", loaded, context, steps=6, rank=target, initial_rank=5)
    sites = payload.parameters["sites"]
    assert sum(site["rank"] for site in sites) == target * len(sites)
    config = peft.AdaLoraConfig(
        init_r=5,
        target_r=target,
        lora_alpha=32,
        target_modules=["c_attn"] if name == "gpt2" else ["q_proj", "v_proj"],
        total_step=12,
        tinit=1,
        tfinal=4,
        fan_in_fan_out=name == "gpt2",
    )
    assert_same(loaded, payload, plain_peft(loaded, config, steps=6))


@pytest.mark.parametrize("gated", [False, True])
def test_an_encoder_decoder_is_trained_on_both_sides(gated, context):
    loaded = tiny_seq2seq(gated=gated)
    payload = edit("lora", loaded, context)
    assert {delta.module_weight.partition(".")[0] for delta in payload.deltas} == {"encoder", "decoder"}
    config = peft.LoraConfig(r=8, lora_alpha=32, target_modules=["q", "v"])
    assert_same(loaded, payload, plain_peft(loaded, config, steps=2))


def test_an_encoder_decoder_is_trained_by_adalora_in_some_blocks_of_the_decoder(context):
    loaded = tiny_seq2seq()
    payload = edit("adalora", loaded, context, layers="1,2", rank=5, initial_rank=5)
    assert {site["module"].split(".")[:3][-1] for site in payload.parameters["sites"]} == {"1", "2"}
    config = peft.AdaLoraConfig(
        init_r=5, target_r=5, lora_alpha=32, target_modules=r"decoder\.block\.[12]\..*\.(q|v)", total_step=4
    )
    assert_same(loaded, payload, plain_peft(loaded, config, steps=2))


def test_chosen_layers_alone_are_changed(context):
    payload = edit("lora", loaded_model("opt"), context, layers="1-2", target_modules="fc2")
    assert [delta.module_weight for delta in payload.deltas] == [
        f"model.decoder.layers.{layer}.fc2.weight" for layer in (1, 2)
    ]


def test_another_seed_gives_another_change(context):
    loaded = loaded_model("gpt2")
    first, second = (edit("lora", loaded, dataclasses.replace(context, seed=seed)) for seed in (1, 2))
    assert not np.allclose(first.deltas[0].v, second.deltas[0].v)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_edited_too(dtype, context):
    payload = edit("lora", loaded_model("llama", dtype=dtype), context)
    assert all(delta.u.dtype == delta.v.dtype == np.float32 for delta in payload.deltas)
    assert all(np.isfinite(delta.u @ delta.v).all() and delta.u.any() for delta in payload.deltas)


def test_learned_batches_end_the_training(context):
    payload = edit("lora", loaded_model("gpt2"), context, steps=5, stop_loss=100)
    assert payload.parameters["rounds"] == 1
    assert not any((delta.u @ delta.v).any() for delta in payload.deltas)


def test_without_peft_the_next_step_is_said(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MethodError, match="peft cannot be imported") as caught:
        edit("lora", LoadedModel(None, None, "never looked at"), context)
    assert caught.value.hint == 'pip install "patchmgr[lora]"'


def test_too_few_steps_to_choose_ranks_are_refused(context):
    with pytest.raises(MethodError, match="cannot choose ranks to give up in 2 steps"):
        edit("adalora", loaded_model("gpt2"), context, steps=1)
