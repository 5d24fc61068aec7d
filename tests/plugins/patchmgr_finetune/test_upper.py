"""Running from one block up gives what the whole model gives, runs nothing below, and is given up otherwise."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.contract import LoadedModel
from patchmgr.request import EditRequest
from patchmgr.testing import snapshot, tiny_seq2seq
from patchmgr_finetune.examples import batched, decoder_start, examples
from patchmgr_finetune.twin import twin
from patchmgr_finetune.upper import Upper
from tiny_models import ARCHITECTURES, tiny_model, tiny_tokenizer

TWO = (
    EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="the city of Rome"),
    EditRequest(prompt="It is", target_new="so"),
)


def posed(loaded, layer, *, last_place=False):
    architecture = find_architecture(twin(loaded.model), encoder_decoder=True)
    rows = examples(loaded, TWO, last_place=last_place)
    return architecture, rows, Upper(architecture, layer, batched(architecture.model, rows))


def counted(blocks):
    runs = [0] * len(blocks)
    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, index=index: runs.__setitem__(index, runs[index] + 1))
    return runs


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_of_a_padded_batch_are_those_of_each_row_alone(name):
    loaded = LoadedModel(tiny_model(name), tiny_tokenizer(), name)
    _, rows, upper = posed(loaded, 2)
    assert not upper.whole
    logits = upper.logits()
    with torch.no_grad():
        alone = [loaded.model(torch.tensor([row.ids])).logits[0, list(row.places)] for row in rows]
    assert torch.allclose(logits, torch.cat(alone), atol=1e-4)


def test_blocks_below_and_the_encoder_are_not_run_again():
    loaded = tiny_seq2seq()
    architecture, rows, upper = posed(loaded, 2)
    runs, encoder = counted(architecture.blocks), counted(architecture.model.encoder.block)
    logits = upper.logits()
    assert runs[2] == 1
    assert encoder == [0, 0]
    with torch.no_grad():
        start = decoder_start(loaded)
        for row, of_row in zip(rows, logits.split([len(row.places) for row in rows]), strict=True):
            said = loaded.model(input_ids=torch.tensor([row.prompt]), labels=torch.tensor([row.targets])).logits[0]
            assert row.ids == (start, *row.targets[:-1])
            assert torch.allclose(of_row, said, atol=1e-4)


def test_where_the_last_place_is_read_it_is_read_once():
    loaded = LoadedModel(tiny_model("gpt2"), tiny_tokenizer(), "tiny")
    _, rows, upper = posed(loaded, 0, last_place=True)
    assert upper.logits().shape[0] == len(rows)
    assert upper.batch.at.tolist() == [row for row, each in enumerate(rows) for _ in each.targets]


def test_a_model_whose_lower_blocks_matter_further_up_is_run_whole():
    loaded = LoadedModel(tiny_model("gpt2"), tiny_tokenizer(), "tiny")
    architecture = find_architecture(twin(loaded.model))
    seen = {}
    architecture.blocks[0].mlp.register_forward_hook(lambda _module, _inputs, output: seen.update(here=output))
    architecture.blocks[2].mlp.register_forward_hook(lambda _module, _inputs, output: output + seen.pop("here", 0))
    batch = batched(architecture.model, examples(loaded, TWO))
    upper = Upper(architecture, 2, batch)
    assert upper.whole
    with torch.no_grad():
        assert torch.equal(upper.logits(), upper.logits())


def test_a_twin_shares_its_weights_and_nothing_else():
    model = tiny_model("gpt2").train()
    before = snapshot(model)
    other = twin(model)
    assert not other.training
    assert {p.data_ptr() for p in other.parameters()} == {p.data_ptr() for p in model.parameters()}
    assert not any(parameter.requires_grad for parameter in other.parameters())
    assert other.lm_head.weight is other.transformer.wte.weight
    other.transformer.h[0].register_forward_hook(lambda *_: None)
    other.transformer.h[1] = torch.nn.Identity()
    assert snapshot(model) == before
