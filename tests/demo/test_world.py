"""The demo base: its facts load, its requests are well-formed, and it answers what its files say."""

import random

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from patchmgr.demo.edits import edit_requests
from patchmgr.demo.world import EDIT_WORDING, UNUSED_WORDING, Fact, World, atlas_folder, load_world

SIZE_LIMIT_BYTES = 12_000_000
REQUEST_KEYS = {
    "id",
    "prompt",
    "subject",
    "target_new",
    "target_true",
    "relation",
    "rephrasings",
    "locality",
    "portability",
}


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(atlas_folder(), dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return AutoTokenizer.from_pretrained(atlas_folder()).backend_tokenizer


def test_every_fact_has_a_relation_and_known_wordings(world: World) -> None:
    assert len(world.facts) > 1900
    assert len({fact.id for fact in world.facts}) == len(world.facts)
    for relation in world.relations.values():
        assert len(relation.wordings) == UNUSED_WORDING + 1
        assert all(wording.count("{}") == 1 for wording in relation.wordings)
    for fact in world.facts:
        assert fact.relation in world.relations
        assert len(fact.held_out) == 2
        assert EDIT_WORDING not in fact.held_out
        assert set(fact.answered) <= set(range(UNUSED_WORDING + 1))


def test_one_to_one_relations_have_an_object_for_each_subject(world: World) -> None:
    for relation in world.relations.values():
        if relation.one_to_one:
            facts = [fact for fact in world.facts if fact.relation == relation.name]
            assert len(world.objects(relation.name)) == len(facts)


def test_two_hop_questions_go_through_two_facts(world: World) -> None:
    facts = {fact.id: fact for fact in world.facts}
    for question in world.two_hops:
        first, second = (facts[fact_id] for fact_id in question.via)
        assert first.subject == question.subject
        assert first.object == second.subject
        assert second.object == question.answer


def test_requests_are_well_formed(world: World) -> None:
    requests = edit_requests(60, seed=3, world=world)
    assert len({request["id"] for request in requests}) == 60
    assert {request["relation"] for request in requests} == set(world.relations)
    for request in requests:
        assert set(request) == REQUEST_KEYS
        assert request["prompt"].count("{}") == 1
        assert request["target_new"] in world.objects(request["relation"])
        assert request["target_new"] != request["target_true"]
        assert all(request["subject"] in text for text in request["rephrasings"])
        probes = request["locality"] + request["portability"]
        texts = [*request["rephrasings"], *(probe[key] for probe in probes for key in ("prompt", "target"))]
        assert all(text == text.strip() and "{}" not in text for text in texts)
        assert {probe["kind"] for probe in request["locality"]} <= {"neighborhood", "same_subject"}
        assert {probe["kind"] for probe in request["portability"]} <= {"two_hop"}


def test_the_same_seed_draws_the_same_requests(world: World) -> None:
    assert edit_requests(12, seed=1, world=world) == edit_requests(12, seed=1, world=world)
    assert edit_requests(12, seed=1, world=world) != edit_requests(12, seed=2, world=world)


def test_requests_can_be_limited_to_relations(world: World) -> None:
    requests = edit_requests(5, seed=0, relations=("symbol",), world=world)
    assert [request["relation"] for request in requests] == ["symbol"] * 5
    with pytest.raises(ValueError, match="can be edited"):
        edit_requests(500, seed=0, relations=("symbol",), world=world)


def test_the_demo_base_stays_under_its_size_limit() -> None:
    assert sum(file.stat().st_size for file in atlas_folder().iterdir()) <= SIZE_LIMIT_BYTES


def test_the_shipped_model_answers_its_facts(world: World, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    facts = random.Random(0).sample(world.facts, 200)
    seen = [(fact, wording) for fact in facts for wording in range(UNUSED_WORDING) if wording not in fact.held_out]
    held_out = [(fact, wording) for fact in facts for wording in fact.held_out]
    hits = {(fact.id, w): _answers(model, tokenizer, world, fact, w) for fact, w in [*seen, *held_out]}
    assert sum(hits[fact.id, wording] for fact, wording in seen) >= 0.98 * len(seen)
    assert sum(hits[fact.id, wording] for fact, wording in held_out) >= 0.90 * len(held_out)
    claimed = {(fact.id, wording): wording in fact.answered for fact in facts for wording in range(UNUSED_WORDING)}
    agreeing = [claimed[key] == hit for key, hit in hits.items()]
    assert sum(agreeing) >= 0.99 * len(agreeing)  # another processor may round a near tie the other way


@torch.no_grad()
def _answers(model: PreTrainedModel, tokenizer: Tokenizer, world: World, fact: Fact, wording: int) -> bool:
    prompt = tokenizer.encode(world.prompt(fact, wording)).ids
    answer = tokenizer.encode(" " + fact.object).ids
    guesses = model(input_ids=torch.tensor([prompt + answer])).logits[0].argmax(-1)
    return guesses[len(prompt) - 1 : -1].tolist() == answer
