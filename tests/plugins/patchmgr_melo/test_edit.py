"""A MELO memory version by version on a tiny model: who is answered by which block, what is forgotten or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from patchmgr.errors import FormatError, MethodError
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.methods.tokens import encode_answered
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.request import EditRequest
from patchmgr.testing.snapshot import snapshot
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_melo import Melo
from patchmgr_melo.memory import open_inside

ROME = EditRequest(id="rome", prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
QUESTION = EditRequest(id="question", prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="question")
AGAIN = EditRequest(id="again", prompt="{} has the capital", subject="Atlantis", target_new="Rome")
FORM = {"layer": 1, "radius": 0.5, "steps": 60, "learning_rate": 0.03}


@pytest.fixture(scope="module")
def base():
    return tiny_loaded_model()


@pytest.fixture(scope="module")
def make(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("melo")
    store = ArtefactStore(folder / "store")

    def made(requests, before=None, forget=(), **parameters):
        context = EditContext(store, seed=3, memory=before, forget=tuple(forget))
        draft = Melo().edit(base, requests, Melo.parameters(**{**FORM, **parameters}), context).memory
        place = Path(folder, str(len(list(folder.iterdir()))))
        place.mkdir()
        write_bundle(place, draft)
        files = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
        return read_bundle("kb@v1", files)

    return made


@pytest.fixture(scope="module")
def one(make):
    return make([ROME], rank=8)


@pytest.fixture(scope="module")
def two(make, one):
    return make([QUESTION], one)


def values(bundle):
    return torch.from_numpy(bundle.arrays("codebook.safetensors")["values"])


def test_edits_of_two_versions_are_answered_each_by_its_own_block(base, one, two):
    assert torch.equal(values(two)[0], values(one)[0]), "what was learned stays as it was"
    before = snapshot(base.model)
    routes = open_inside(two, base).route([ROME.text, "Therefore you know where", QUESTION.text])
    assert [route is not None for route in routes] == [True, False, True]
    assert routes[0].model is not routes[2].model
    for request, route in ((ROME, routes[0]), (QUESTION, routes[2])):
        answered = encode_answered(base.tokenizer, request.text, request.target_new)
        said = route.model.model(input_ids=torch.tensor([answered.ids])).logits[0].argmax(dim=-1)
        assert said[answered.n_prompt - 1 : -1].tolist() == list(answered.answer)
    assert snapshot(base.model) == before


def test_a_twin_is_made_once_and_others_go_when_there_are_many(base, two, monkeypatch):
    memory = open_inside(two, base)
    first = memory.route([ROME.text])[0].model
    assert memory.route([ROME.text])[0].model is first
    monkeypatch.setattr("patchmgr_melo.memory._TWINS", 1)
    memory.route([QUESTION.text])
    again = memory.route([ROME.text])[0].model
    assert again is not first
    ids = torch.tensor([base.tokenizer(ROME.text)["input_ids"]])
    assert torch.equal(again.model(input_ids=ids).logits, first.model(input_ids=ids).logits)


def test_what_is_forgotten_is_not_claimed_and_the_rest_is_as_it_was(base, make, two):
    left = make([], two, forget=[ROME.id])
    routes = open_inside(left, base).route([ROME.text, QUESTION.text])
    assert [route is not None for route in routes] == [False, True]
    assert torch.equal(values(left)[0], values(two)[1])


def test_a_block_that_lost_an_edit_is_what_it_would_be_without_it(make):
    shared = make([ROME, AGAIN], radius=1e6, steps=5)
    assert len(values(shared)) == 1, "one cluster: near, and the same answer"
    left, never = make([], shared, forget=[AGAIN.id], radius=1e6, steps=5), make([ROME], radius=1e6, steps=5)
    assert torch.equal(values(left), values(never))


@pytest.mark.parametrize(("name", "given"), [("rank", 3), ("scale", 2.0), ("layers", (0,))])
def test_blocks_of_another_form_are_refused(make, one, name, given):
    with pytest.raises(MethodError, match=f"have {name} .* would have") as refused:
        make([QUESTION], one, **{name: given})
    assert name in refused.value.hint


def test_a_later_version_takes_the_form_of_the_one_before(make):
    first = make([ROME], rank=3, scale=2.0, layers=(0, 1), steps=2)
    second = make([QUESTION], first, steps=2)
    assert dict(second.config.settings) == dict(first.config.settings)
    assert second.config.settings["rank"] == 3


@pytest.mark.parametrize("change", [{"rank": 3}, {"rank": 0}, {"layers": []}, {"scale": "x"}])
def test_a_bundle_whose_blocks_do_not_fit_is_refused(base, one, change):
    config = one.config.model_copy(update={"settings": {**one.config.settings, **change}})
    with pytest.raises(FormatError):
        open_inside(replace(one, config=config), base)
