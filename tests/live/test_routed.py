"""A model with memories answers row by row as whoever the memory names would answer alone."""

from __future__ import annotations

import pytest
import torch

from patchmgr.errors import UsageError
from patchmgr.live.routed import IGNORED, RoutedModel
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Route, Router
from patchmgr.testing.tiny import tiny_loaded_model, tiny_tokenizer
from tiny_models import tiny_model

OPTIONS = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 2}


class Claims:
    """Claims prompts that hold a word; asks its own text of its own model."""

    def __init__(self, word, text, model=None):
        self.word, self.text, self.model, self.seen = word, text, model, []

    def route(self, prompts):
        self.seen += prompts
        return [
            Route(f"{self.text} {p}", (self.word,), 1.0, model=self.model) if self.word in p else None for p in prompts
        ]


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.fixture(scope="module")
def other():
    tokenizer = tiny_tokenizer(start=False)
    return LoadedModel(tiny_model("llama", seed=4), tokenizer, "other")


def batch(loaded, texts):
    loaded.tokenizer.padding_side = "left"
    return loaded.tokenizer(texts, return_tensors="pt", padding=True)


def alone(loaded, text, **options):
    """New text of one prompt by itself."""
    ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
    found = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **{**OPTIONS, **options})
    return loaded.tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)


def routed(base, *memories):
    return RoutedModel(base, Router(tuple((f"m{number}@v1", memory) for number, memory in enumerate(memories))))


TEXTS = ["Rome lies in", "The capital of Atlantis is", "I know the tower of"]


def test_each_row_is_answered_as_its_model_answers_alone(base, other):
    claims = Claims("Atlantis", "Because", other)
    model = routed(base, claims)
    given = batch(base, TEXTS)
    found = model.generate(**given, **OPTIONS)
    new = [base.tokenizer.decode(row[given["input_ids"].shape[1] :], skip_special_tokens=True) for row in found]
    assert new[0] == alone(base, TEXTS[0])
    assert new[1] == alone(other, f"Because {TEXTS[1]}")
    assert new[2] == alone(base, TEXTS[2])
    assert claims.seen == TEXTS, "each row is routed once"


def test_a_memory_may_let_the_base_answer_another_text(base):
    model = routed(base, Claims("Rome", "Therefore"))
    given = batch(base, TEXTS[:1])
    found = model.generate(**given, **OPTIONS)
    text = base.tokenizer.decode(found[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text == alone(base, f"Therefore {TEXTS[0]}")


def test_the_latest_memory_that_claims_a_prompt_answers_and_the_others_are_asked_the_rest(base):
    first, second = Claims("o", "one"), Claims("Rome", "two")
    routes = routed(base, first, second).routes(TEXTS)
    assert [(route.package, route.prompt) for route in routes if route] == [
        ("m1@v1", "two Rome lies in"),
        ("m0@v1", "one The capital of Atlantis is"),
        ("m0@v1", "one I know the tower of"),
    ]
    assert first.seen == TEXTS[1:]


def test_without_a_claim_nothing_differs_from_the_base(base):
    model = routed(base, Claims("nowhere", "x"))
    given = batch(base, TEXTS)
    assert torch.equal(model.generate(**given, **OPTIONS)[:, : given["input_ids"].shape[1]], given["input_ids"])
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, IGNORED)
    ours, theirs = model(**given, labels=labels), base.model(**given, labels=labels)
    assert torch.equal(ours.logits, theirs.logits)
    assert ours.loss.item() == pytest.approx(theirs.loss.item(), rel=1e-5)
    assert model.config is base.model.config


def test_calling_it_gives_the_logits_of_the_handed_over_prompt_behind_the_prompt(base):
    model = routed(base, Claims("Atlantis", "Because"))
    prompt, answer = (base.tokenizer(text)["input_ids"] for text in ("The capital of Atlantis is", " Rome or"))
    ids = torch.tensor([[*prompt, *answer]])
    labels = torch.tensor([[IGNORED] * len(prompt) + answer])
    found = model(input_ids=ids, labels=labels)
    asked = base.tokenizer("Because The capital of Atlantis is")["input_ids"]
    expected = base.model(input_ids=torch.tensor([[*asked, *answer]])).logits[0, len(asked) - 1 :]
    assert torch.equal(found.logits[0, len(prompt) - 1 :], expected)
    assert found.logits[0, : len(prompt) - 1].isnan().all()
    loss = torch.nn.functional.cross_entropy(expected[:-1], torch.tensor(answer))
    assert found.loss.item() == pytest.approx(loss.item(), rel=1e-5)


def test_logits_in_other_tokens_are_refused(base, other):
    other = LoadedModel(other.model, tiny_tokenizer(start=True), "other")
    other.tokenizer.add_tokens(["<other>"])
    model = routed(base, Claims("Rome", "x", other))
    with pytest.raises(UsageError, match="in the tokens of another model"):
        model(input_ids=batch(base, TEXTS[:1])["input_ids"])


def test_one_row_can_be_streamed_and_several_cannot(base):
    class Stream:
        def __init__(self):
            self.put_ids, self.ended = [], False

        def put(self, value):
            self.put_ids.append(value)

        def end(self):
            self.ended = True

    model, stream = routed(base, Claims("Rome", "Therefore")), Stream()
    model.generate(**batch(base, TEXTS[:1]), **OPTIONS, streamer=stream)
    assert stream.ended
    assert len(stream.put_ids) > 1
    with pytest.raises(UsageError, match="one row at a time"):
        model.generate(**batch(base, TEXTS), **OPTIONS, streamer=stream)
