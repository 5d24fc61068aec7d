"""A model with memories answers row by row as whoever the memory names would answer alone."""

from __future__ import annotations

import pytest
import torch

from patchmgr.errors import UsageError
from patchmgr.live.routed import IGNORED, RoutedModel
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Route, Router
from patchmgr.testing.tiny import tiny_loaded_model, tiny_tokenizer
from tiny_models import tiny_model, tiny_seq2seq

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


def test_rows_that_are_claimed_together_have_the_logits_that_each_has_alone(base, other):
    third = LoadedModel(other.model, base.tokenizer, "other weights, the same tokens")
    model = routed(base, Claims("o", "Because of this"), Claims("Rome", "x", third))
    given = batch(base, [*TEXTS, "The tower"])
    labels = given["input_ids"].clone()
    labels[:, :-2] = IGNORED
    together = model(**given, labels=labels)
    losses = []
    for row in range(4):
        alone = model(**{name: values[row : row + 1] for name, values in given.items()}, labels=labels[row : row + 1])
        assert torch.allclose(together.logits[row, -3:-1], alone.logits[0, -3:-1], atol=1e-5)
        losses.append(alone.loss.item())
    assert together.loss.item() == pytest.approx(sum(losses) / 4, rel=1e-4)


def test_a_row_has_as_many_answers_as_were_asked_for(base):
    model = routed(base, Claims("Atlantis", "Because"))
    given, several = batch(base, TEXTS), {**OPTIONS, "num_beams": 3, "num_return_sequences": 2}
    found = model.generate(**given, **several)
    assert len(found) == 2 * len(TEXTS)
    asked = base.tokenizer(f"Because {TEXTS[1]}", return_tensors="pt")
    expected = base.model.generate(**asked, **several)[:, asked["input_ids"].shape[1] :]
    for row, answer in zip(found[2:4], expected, strict=True):
        assert row[: given["input_ids"].shape[1]].tolist() == given["input_ids"][1].tolist()
        assert row[given["input_ids"].shape[1] :][: len(answer)].tolist() == answer.tolist()


def test_what_comes_back_whole_comes_only_where_nothing_is_claimed(base):
    given = batch(base, TEXTS)
    options = {**OPTIONS, "return_dict_in_generate": True, "output_scores": True}
    whole = routed(base, Claims("nowhere", "x")).generate(**given, **options)
    assert torch.equal(whole.sequences, base.model.generate(**given, **OPTIONS))
    with pytest.raises(UsageError, match="hands over tokens only"):
        routed(base, Claims("Rome", "x")).generate(**given, **options)


def test_an_encoder_decoder_answers_another_text_too():
    loaded = tiny_seq2seq()
    model, given = routed(loaded, Claims("Rome", "Because")), batch(loaded, TEXTS[:2])
    options = {**OPTIONS, "use_cache": False}  # transformers' cache wants as many decoder layers as encoder layers
    found = model.generate(**given, **options)
    for row, text in enumerate([f"Because {TEXTS[0]}", TEXTS[1]]):
        ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
        expected = loaded.model.generate(input_ids=ids, **options)[0]
        assert found[row, : len(expected)].tolist() == expected.tolist()
    with pytest.raises(UsageError, match="encoder-decoder cannot be handed over"):
        model(**given, labels=given["input_ids"])


class Stream:
    """What a streamer is given."""

    def __init__(self):
        self.prompt, self.ids, self.ended = None, [], False

    def put(self, value):
        if self.prompt is None:
            self.prompt = value
        else:
            self.ids += value.flatten().tolist()

    def end(self):
        self.ended = True


@pytest.mark.parametrize("speaks", ["alike", "otherwise", "itself"])
def test_one_row_is_streamed_as_it_is_generated_and_several_cannot_be(base, other, speaks):
    answering = {
        "alike": LoadedModel(other.model, tiny_tokenizer(), "other"),
        "otherwise": other,
        "itself": None,
    }[speaks]
    model = routed(base, Claims("Rome", "Therefore", answering))
    given, stream = batch(base, TEXTS[:1]), Stream()
    found = model.generate(**given, **OPTIONS, streamer=stream)
    assert stream.ended
    assert torch.equal(stream.prompt, given["input_ids"]), "the prompt is shown as the user wrote it"
    assert len(stream.ids) > 1
    new = found[0, given["input_ids"].shape[1] :]
    assert base.tokenizer.decode(stream.ids) == base.tokenizer.decode(new)
    with pytest.raises(UsageError, match="one row at a time"):
        model.generate(**batch(base, TEXTS), **OPTIONS, streamer=stream)
