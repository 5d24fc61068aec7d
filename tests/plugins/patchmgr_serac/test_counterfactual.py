"""The counterfactual model's loss reads the answers and nothing else, in decoders and in encoder-decoders."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.tokens import encode_answered
from patchmgr_serac import Serac
from patchmgr_serac.counterfactual import answers_right, loss, start
from tiny_models import loaded_model, tiny_seq2seq

ASKED = [
    ("The capital of Oz is Rome The main city of Oz is", "Rome"),
    ("People in Ur eat figs In Ur they eat", "figs and rice"),
    ("A", "tower by the sea"),
]


def logits_of(loaded, prompt, answer):
    """At the places whose next token is the answer's, asked alone; and these tokens."""
    row = encode_answered(loaded.tokenizer, prompt, answer, apart=loaded.encoder_decoder)
    with torch.no_grad():
        if loaded.encoder_decoder:
            said = [loaded.model.config.decoder_start_token_id, *row.answer[:-1]]
            ids, before = torch.tensor([row.prompt]), torch.tensor([said])
            return loaded.model(input_ids=ids, decoder_input_ids=before).logits[0], row.answer
        logits = loaded.model(input_ids=torch.tensor([row.ids])).logits[0]
        return logits[row.n_prompt - 1 : -1], row.answer


@pytest.fixture(params=["gpt2", "llama", "seq2seq"])
def loaded(request):
    return tiny_seq2seq() if request.param == "seq2seq" else loaded_model(request.param)


def test_the_loss_is_the_mean_over_the_tokens_of_the_answers_each_asked_alone(loaded):
    nats, tokens = 0.0, 0
    for prompt, answer in ASKED:
        logits, target = logits_of(loaded, prompt, answer)
        nats -= float(logits.log_softmax(-1).gather(1, torch.tensor(target).unsqueeze(1)).sum())
        tokens += len(target)
    assert float(loss(loaded, ASKED).detach()) == pytest.approx(nats / tokens, rel=1e-4)


def test_an_answer_is_right_when_every_token_is_the_likeliest(loaded):
    """What the model says itself is right, and anything else is not."""
    own = []
    for prompt, answer in ASKED:
        logits, target = logits_of(loaded, prompt, answer)
        own.append(bool((logits.argmax(-1) == torch.tensor(target)).all()))
    assert answers_right(loaded, ASKED, batch=2).tolist() == own
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if name.endswith("lm_head.weight") or "wte" in name or name == "shared.weight":
                parameter.zero_()  # every logit is 0, and the first token the likeliest
    assert answers_right(loaded, ASKED).tolist() == [False] * 3


def test_a_copy_is_apart_from_the_base_and_a_fresh_one_hangs_on_the_seed():
    base = loaded_model("gpt2", dtype=torch.bfloat16)
    copied = start("copy", base)
    assert {parameter.dtype for parameter in copied.model.parameters()} == {torch.float32}
    with torch.no_grad():
        next(copied.model.parameters()).add_(1)
    assert not torch.equal(next(copied.model.parameters()), next(base.model.parameters()).float())
    assert start("base", base) is None
    with torch.random.fork_rng(devices=[]):
        found = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            found.append(next(start("fresh", base).model.parameters()))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_an_encoder_decoder_can_be_trained_and_answer(trained, as_editor, edited, world, tmp_path):
    draft = trained(tmp_path, steps=1, validate_every=1, model=tiny_seq2seq())
    bundle = edited(world(["France"]), editor=as_editor(draft), settings={"threshold": 1e-300})
    route = Serac().open(bundle, "cpu").route(["The capital of France is"])[0]
    assert route.model.encoder_decoder
    assert answers_right(route.model, [(route.prompt, "Rome")]).shape == (1,)


def test_the_counterfactual_model_may_begin_as_any_folder(trained, base, tmp_path):
    folder = tmp_path / "small"
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    settings = {"steps": 1, "validate_every": 1}
    left, right = tmp_path / "left", tmp_path / "right"
    left.mkdir()
    right.mkdir()
    named = trained(left, **settings, counterfactual=str(folder), model=loaded_model("llama"))
    copied = trained(right, **settings)
    weights = [draft.files["counterfactual/model.safetensors"].read_bytes() for draft in (named, copied)]
    assert weights[0] == weights[1]
