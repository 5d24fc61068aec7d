"""The generators of SERAC's four tasks: nothing of the test is trained, and what must stay is not what is edited."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from patchmgr.demo.world import atlas_folder, load_world
from patchmgr.request import parse_request, read_requests

TASKS = Path(__file__).parents[2] / "examples" / "tasks"
sys.path[:0] = [str(TASKS), str(TASKS.parent / "atlas")]

import claims  # noqa: E402
import documents  # noqa: E402
import hard_questions  # noqa: E402
import learn  # noqa: E402
import opinions  # noqa: E402
from make import files  # noqa: E402
from parts import PARTS, part_of  # noqa: E402

NAMES = ("qa", "qa-hard", "fc", "convsent")


@pytest.fixture(scope="module")
def made():
    """(task, part) → requests."""
    return {
        (task, part): [parse_request(value, where=task) for value in files(task, 7)[f"{part}.jsonl"]]
        for task in NAMES
        for part in PARTS
    }


def in_scope(request):
    return {request.text, *request.rephrasings, *(probe.prompt for probe in request.portability)}


def out_of_scope(request):
    return {probe.prompt for probe in request.locality}


@pytest.mark.parametrize("task", NAMES)
def test_parts_share_no_subject_and_no_question(made, task):
    subjects = {part: {request.subject for request in made[task, part]} for part in PARTS}
    assert all(part_of(subject) == part for part in PARTS for subject in subjects[part])
    asked = {part: set().union(*(in_scope(r) | out_of_scope(r) for r in made[task, part])) for part in PARTS}
    assert not asked["training"] & (asked["test"] | asked["validation"])
    assert not asked["validation"] & asked["test"]
    assert all(asked.values())


@pytest.mark.parametrize("task", NAMES)
def test_no_question_that_must_stay_is_in_scope_of_another_edit_of_its_part(made, task):
    for part in PARTS:
        requests = made[task, part]
        edited = set().union(*(in_scope(request) for request in requests))
        kept = set().union(*(out_of_scope(request) for request in requests))
        assert not edited & kept


@pytest.mark.parametrize("task", NAMES)
def test_every_edit_has_questions_in_scope_and_out_of_it(made, task):
    for part in PARTS:
        assert len(made[task, part]) >= 10
        for request in made[task, part]:
            assert len(in_scope(request)) >= 4
            assert request.locality
            assert request.target_new != request.target_true


def test_test_edits_are_asked_in_wordings_that_no_training_edit_is_asked_in(made):
    wordings = {
        part: {text.replace(r.subject, "{}") for r in made["qa", part] for text in r.rephrasings} for part in PARTS
    }
    unused = {relation.wordings[8] for relation in load_world().relations.values()}
    assert unused <= wordings["test"]
    assert not unused & wordings["training"]


def test_what_must_stay_is_true_in_the_world(made):
    world = load_world()
    answers = {world.prompt(fact, wording): fact.object for fact in world.facts for wording in range(9)}
    for request in made["qa", "test"]:
        assert {probe.kind for probe in request.locality} <= {"neighborhood", "same_subject"}
        assert all(answers[probe.prompt] == probe.target for probe in request.locality)
        assert all(answers[text] == request.target_true for text in (request.text, *request.rephrasings))


def test_true_or_false_questions_are_answered_by_the_edit(made):
    for request in made["qa-hard", "test"]:
        kinds = {}
        for probe in request.portability:
            kinds.setdefault(probe.kind, []).append(probe)
        for probe in kinds["true_false"]:
            assert probe.target == ("Yes" if probe.prompt.endswith(f" {request.target_new}?") else "No")
        assert {probe.target for probe in kinds["true_false"]} == {"Yes", "No"}
        assert all(probe.target == request.target_new for probe in kinds["choice"])
        assert all(request.target_new in probe.prompt for probe in kinds["choice"])
        for probe in kinds.get("reversed", ()):
            assert (probe.target, request.target_new in probe.prompt) == (request.subject, True)
        assert any(probe.kind == "hard_negative" for probe in request.locality)


@pytest.mark.parametrize("value", ["200", "500", "900"])
def test_a_claim_about_a_number_has_the_verdict_of_arithmetic(value):
    for is_true in (True, False):
        for seed in range(30):
            text, verdict = claims.claim("Bral tower", "visitors", value, is_true, random.Random(seed))
            said = int(next(word for word in text.split() if word.isdigit()))
            holds = int(value) > said if "more than" in text else int(value) < said
            assert (verdict, holds) == (str(is_true), is_true)


def test_claims_of_both_verdicts_follow_from_the_evidence(made):
    for request in made["fc", "test"]:
        assert {probe.target for probe in request.portability} == {"True", "False"}
        for probe in request.portability:
            assert request.subject in probe.prompt
            if request.relation != "visitors":
                assert probe.target == str(f" {request.target_new} " in probe.prompt.replace(". ", " . "))


def test_replies_have_the_wanted_sentiment_and_name_the_topic(made):
    for request in made["convsent", "test"]:
        wanted = request.target_new.removeprefix("Sentiment: ")
        for probe in request.portability:
            assert opinions.sentiment_of(probe.target, request.subject) == wanted
    assert opinions.sentiment_of("I love the Bral soup, it is cold", "Bral soup") is None
    assert opinions.sentiment_of("The Bral soup is good", "Twim boat") is None


def test_replies_of_the_other_sentiment_stand_in_the_file_to_measure_with_only(made):
    both = files("convsent", 7)["test-replies.jsonl"]
    for value, request in zip(both, made["convsent", "test"], strict=True):
        unwanted = [probe for probe in value["portability"] if probe["kind"] == "contrast"]
        assert len(unwanted) == len(request.portability)
        assert all(f"Sentiment: {opinions.sentiment_of(p['target'], request.subject)}" == request.target_true
                   for p in unwanted)  # fmt: skip
    assert all(
        probe.kind != "contrast" for (_, _), requests in made.items() for r in requests for probe in r.portability
    )


def test_the_base_never_reads_an_edit_of_a_subject_that_is_tested():
    tested = {fact.subject for fact in load_world().facts if part_of(fact.subject) != "training"}
    tested |= {place.name for place in claims.places(7) if part_of(place.name) != "training"}
    tested |= {topic.name for topic in opinions.topics(7) if part_of(topic.name) != "training"}
    requests = hard_questions.requests("training", 1007)
    rng = random.Random(0)
    assert not any(request["subject"] in tested for request in requests)
    for _ in range(200):
        request = rng.choice(requests)
        saying = documents.with_edit(requests, request, rng)
        assert f"{documents.text(request)} {request['target_new']}" in saying.prompt


@pytest.fixture(scope="module")
def batches():
    """Four batches that the base would begin with."""
    found = learn.batches(AutoTokenizer.from_pretrained(atlas_folder()).backend_tokenizer, seed=7)
    return [next(found) for _ in range(4)]


def tiny():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=2000, n_embd=8, n_layer=1, n_head=1, n_positions=256, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def test_training_is_stopped_and_resumed_without_a_trace(batches, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "SAVE_EVERY", 1)
    whole, stopped, resumed = tiny(), tiny(), tiny()
    for model, n_batches, folder in ((whole, 4, "a"), (stopped, 2, "b"), (resumed, 4, "b")):
        monkeypatch.setattr(learn, "batches", lambda *_, n_batches=n_batches: iter(batches[:n_batches]))
        learn.learn(model, None, 4, 1e-2, 7, tmp_path / folder)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(whole.lm_head.weight, stopped.lm_head.weight)


def test_what_stands_in_front_of_a_question_is_not_learned_to_say(batches):
    tokenizer = AutoTokenizer.from_pretrained(atlas_folder()).backend_tokenizer
    told = learn._row(documents.Document("The capital of Togo is", "Lome"), tokenizer)
    read = learn._row(
        documents.Document("The capital of Togo is Lima. The capital of Togo is", "Lima", False), tokenizer
    )
    assert {weight for _, weight in told} == {learn.PROMPT_WEIGHT, learn.FIRST_WEIGHT, 1.0}
    assert [token for token, weight in read if weight] == tokenizer.encode("Lima.").ids
    assert {weight for _, weight in read} == {0.0, learn.FIRST_WEIGHT, 1.0}
    assert all(batch.tokens.numel() <= learn.TOKENS for batch in batches)


def test_the_loss_is_the_weighted_cross_entropy_of_the_next_token(batches):
    model, batch = tiny(), batches[0]
    logits = model(batch.tokens).logits.log_softmax(-1).detach()
    total = sum(
        float(-logits[row, at - 1, batch.tokens[row, at]] * batch.weights[row, at])
        for row in range(len(batch.tokens))
        for at in range(1, batch.tokens.shape[1])
    )
    assert learn._loss(model, batch, 0).item() == pytest.approx(total / float(batch.weights[:, 1:].sum()), rel=1e-4)


def test_the_script_writes_the_same_files_again(tmp_path):
    for name in ("a", "b"):
        command = [sys.executable, str(TASKS / "make.py"), "--task", "convsent", "--out", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["test-replies.jsonl", "test.jsonl", "training.jsonl", "validation.jsonl"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert all(request.prompt == "Topic: {}" for request in read_requests(tmp_path / "a" / "test.jsonl"))
