"""A memory inside a model answers the rows that it claims, and all others are the model's own, bit for bit."""

from __future__ import annotations

import pytest
import torch

from patchmgr.errors import UsageError
from patchmgr.live.routed import IGNORED, RoutedModel
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.methods.runtime import Route, Router
from patchmgr.methods.tokens import encode_all, encode_answered
from patchmgr.request import EditRequest
from patchmgr.testing.method_case import memory_of
from patchmgr.testing.snapshot import snapshot
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_grace import Grace
from patchmgr_grace.bundle import Codebook
from patchmgr_grace.codebook import Cell
from patchmgr_grace.memory import GraceMemory
from patchmgr_inside.place import place_in
from patchmgr_inside.reading import ends_of
from patchmgr_melo import Melo
from patchmgr_wise import Wise
from tiny_models import ARCHITECTURES, loaded_model

OPTIONS = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 2}
EDITS = (
    EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome or the tower"),
    EditRequest(prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="question"),
)
OTHER = "Therefore you know where"


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.fixture(scope="module", params=["grace", "melo", "wise"])
def memory(request, base, tmp_path_factory):
    method, parameters = {
        "grace": (Grace(), {"layer": 1, "radius": 0.5, "steps": 60, "learning_rate": 0.5}),
        "melo": (Melo(), {"layer": 1, "radius": 0.5, "steps": 60}),
        "wise": (Wise(), {"layer": 1, "steps": 80, "mask_share": 1.0, "irrelevant": 64, "threshold_share": 1.0}),
    }[request.param]
    context = EditContext(ArtefactStore(tmp_path_factory.mktemp("store")), seed=3)
    payload = method.edit(base, EDITS, method.parameters(**parameters), context)
    return memory_of(payload.memory, base)


@pytest.fixture(scope="module")
def model(base, memory):
    return RoutedModel(base, Router((("kb@v1", memory),)))


def batch(base, texts):
    base.tokenizer.padding_side = "left"
    return base.tokenizer(texts, return_tensors="pt", padding=True)


def new_text(base, found, given, row):
    return base.tokenizer.decode(found[row, given["input_ids"].shape[1] :], skip_special_tokens=True)


TEXTS = [EDITS[0].text, OTHER, EDITS[1].text]


def test_it_claims_its_edits_and_nothing_else(model):
    routes = model.routes(TEXTS)
    assert [route is not None for route in routes] == [True, False, True]
    assert routes[0].prompt == EDITS[0].text
    assert routes[0].package == "kb@v1"


def test_rows_of_one_batch_go_where_each_goes_alone(base, model):
    given = batch(base, TEXTS)
    together = model.generate(**given, **OPTIONS)
    for row, text in enumerate(TEXTS):
        alone = batch(base, [text])
        found = model.generate(**alone, **OPTIONS)
        assert new_text(base, together, given, row) == new_text(base, found, alone, 0)
    assert new_text(base, together, given, 0) != new_text(base, base.model.generate(**given, **OPTIONS), given, 0)


def test_what_it_does_not_claim_is_the_models_own_bit_for_bit(base, model):
    given = batch(base, [OTHER])
    assert torch.equal(model.generate(**given, **OPTIONS), base.model.generate(**given, **OPTIONS))
    assert torch.equal(model(**given).logits, base.model(**given).logits)


def test_logits_and_loss_are_those_behind_the_claimed_prompt(base, model, memory):
    answering = memory.route(TEXTS[:1])[0].model
    ids = base.tokenizer(EDITS[0].text)["input_ids"]
    answer = base.tokenizer(" Rome or")["input_ids"]
    labels = torch.tensor([[IGNORED] * len(ids) + answer])
    found = model(input_ids=torch.tensor([[*ids, *answer]]), labels=labels)
    steps, cache, tokens = [], None, torch.tensor([ids])
    for token in [*answer, None]:  # token by token, as generate does
        out = answering.model(input_ids=tokens, past_key_values=cache, use_cache=True)
        steps.append(out.logits[0, -1])
        cache, tokens = out.past_key_values, torch.tensor([[token or 0]])
    expected = torch.stack(steps)
    assert torch.allclose(found.logits[0, len(ids) - 1 :], expected, atol=1e-4)
    loss = torch.nn.functional.cross_entropy(expected[:-1], torch.tensor(answer))
    assert found.loss.item() == pytest.approx(loss.item(), rel=1e-3)


def test_an_edit_is_likelier_where_it_is_claimed(base, model):
    for request in EDITS:
        answered = encode_answered(base.tokenizer, request.text, request.target_new)
        ids, labels = (
            torch.tensor([answered.ids]),
            torch.tensor([[IGNORED] * answered.n_prompt + list(answered.answer)]),
        )
        assert model(input_ids=ids, labels=labels).loss < base.model(input_ids=ids, labels=labels).loss - 0.2


def test_beams_and_several_answers_a_row_come_back(base, model):
    given = batch(base, TEXTS)
    found = model.generate(**given, **OPTIONS, num_beams=3, num_return_sequences=2)
    assert len(found) == 2 * len(TEXTS)


def test_options_that_ask_for_more_than_logits_are_refused_where_a_row_is_claimed(base, model):
    given = batch(base, TEXTS)
    for option in ({"output_hidden_states": True}, {"use_cache": True}, {"logits_to_keep": 1}, {"return_dict": False}):
        (name,) = option
        with pytest.raises(UsageError, match=f"{name}=.* cannot be had where a memory claims a row"):
            model(**given, **option)
    plain = {"use_cache": False, "output_hidden_states": None, "return_dict": True, "logits_to_keep": 0}
    assert torch.equal(model(**given, **plain).logits[1], model(**given).logits[1])
    alone = batch(base, [OTHER])
    assert model(**alone, output_hidden_states=True).hidden_states is not None, "nothing is claimed"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_grace_acts_at_the_prompts_end_however_the_prompt_is_read(architecture):
    base, prompt = loaded_model(architecture), EDITS[0].text
    place = place_in(base.model, 0)
    (key,) = ends_of(place.model, place.entry, encode_all(base.tokenizer, [prompt]))
    value = 30 * torch.randn(place.projection.d_out, generator=torch.Generator().manual_seed(0))
    book = Codebook(0, 0.5, {"a": key}, (Cell(key, 0.5, "Rome", ("a",), value),))
    memory = GraceMemory(base, book, place, place_in(base.model, 0))
    model = RoutedModel(base, Router((("kb@v1", memory),)))
    given = base.tokenizer(prompt, return_tensors="pt")
    ids = given["input_ids"]
    said = model.generate(**given, **OPTIONS)
    here, there = (each(**given).logits[0, -1] for each in (model, base.model))
    assert not torch.allclose(here, there, atol=0.01), "the value changes what is said"
    for option in ({"use_cache": False}, {"prefill_chunk_size": 3}, {"cache_implementation": "static"}):
        assert torch.equal(model.generate(**given, **OPTIONS, **option), said), option
    labels = torch.where(torch.arange(said.shape[1]) < ids.shape[1], IGNORED, said)
    logits = model(input_ids=said, labels=labels).logits[0, ids.shape[1] - 1 : -1]
    assert logits.argmax(dim=-1).tolist() == said[0, ids.shape[1] :].tolist(), "in one pass with the answer behind it"


def test_the_model_is_left_as_it_was(base, model):
    before = snapshot(base.model)
    model.generate(**batch(base, TEXTS), **OPTIONS)
    assert snapshot(base.model) == before


def test_beside_a_memory_of_texts_the_later_one_answers(base, memory):
    class Texts:
        def route(self, prompts):
            return [Route(f"Because {prompt}", ("all",), 1.0) for prompt in prompts]

    above = RoutedModel(base, Router((("texts@v1", Texts()), ("kb@v1", memory))))
    below = RoutedModel(base, Router((("kb@v1", memory), ("texts@v1", Texts()))))
    assert [route.package for route in above.routes(TEXTS)] == ["kb@v1", "texts@v1", "kb@v1"]
    assert {route.package for route in below.routes(TEXTS)} == {"texts@v1"}


def test_a_prompt_that_the_model_cannot_read_is_not_claimed(model):
    assert model.routes(["tower " * 100]) == [None]
