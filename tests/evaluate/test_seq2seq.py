"""Encoder-decoders are asked as one at a time, one token at a time and without a cache, would answer."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from patchmgr.errors import RequestError
from patchmgr.evaluate.answers import greedy_texts
from patchmgr.evaluate.engine import Engine, State
from patchmgr.evaluate.measure import measure, questions
from patchmgr.evaluate.seq2seq import run_seq2seq
from patchmgr.evaluate.task import PromptTask
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import encode_answered
from patchmgr.metrics import METRICS
from patchmgr.metrics.contract import EXTRA_TOKENS, Answers, Dataset, Forced, ForcedAnswer, Free, FreeAnswer, Text
from patchmgr.request import EditRequest, Probe
from patchmgr.testing.method_case import target_log_probability
from tiny_models import tiny_seq2seq

REQUEST = EditRequest(
    prompt="The capital of {} is",
    subject="Atlantis",
    target_new="Rome",
    target_true="a city",
    rephrasings=("Atlantis is ruled from",),
    locality=(Probe(prompt="Ada Lovelace wrote", target="a program"),),
)
QUESTIONS = [
    *(Forced(prompt, target) for prompt in ("Rome lies in", "It") for target in ("Italy", "the sea, I think", "a")),
    Free("Therefore the answer is known, because", 9),
    Free("It", 4),
    Free("Rome lies in", answer="Italy"),
]


@pytest.fixture(params=[False, True], ids=["t5", "t5-gated"])
def loaded(request):
    return tiny_seq2seq(gated=request.param)


def state_of(loaded: LoadedModel) -> State:
    return State("0" * 64, lambda: nullcontext(loaded))


@torch.no_grad()
def next_log_probabilities(loaded: LoadedModel, prompt: str, said: list[int]) -> torch.Tensor:
    ids = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"]
    start = loaded.model.config.decoder_start_token_id
    out = loaded.model(input_ids=ids, decoder_input_ids=torch.tensor([[start, *said]]), use_cache=False)
    return out.logits[0, -1].log_softmax(-1)


def literal(loaded: LoadedModel, question: Forced | Free) -> ForcedAnswer | FreeAnswer:
    target = question.target if isinstance(question, Forced) else question.answer
    answer = loaded.tokenizer(target)["input_ids"]
    if isinstance(question, Forced):
        rows = [next_log_probabilities(loaded, question.prompt, answer[:place]) for place in range(len(answer))]
        likely = tuple(float(row[token]) for row, token in zip(rows, answer, strict=True))
        return ForcedAnswer(tuple(answer), tuple(int(row.argmax()) for row in rows), likely)
    said: list[int] = []
    while len(said) < (question.max_tokens or len(answer) + EXTRA_TOKENS):
        token = int(next_log_probabilities(loaded, question.prompt, said).argmax())
        if token == loaded.model.generation_config.eos_token_id:
            break
        said.append(token)
    return FreeAnswer(loaded.tokenizer.decode(said, skip_special_tokens=True), len(said))


@pytest.mark.parametrize("batch_tokens", [20, 2048])
def test_batches_padding_and_caches_change_no_answer(loaded, batch_tokens):
    answers = Engine(batch_tokens=batch_tokens).ask(state_of(loaded), QUESTIONS)
    for question in QUESTIONS:
        found, slow = answers.found[question], literal(loaded, question)
        if isinstance(slow, ForcedAnswer):
            assert (found.target, found.found) == (slow.target, slow.found)
            assert found.log_probabilities == pytest.approx(slow.log_probabilities, rel=1e-4, abs=1e-4)
        else:
            assert found == slow


def test_the_answer_depends_on_the_prompt(loaded):
    answers = Engine().ask(state_of(loaded), QUESTIONS)
    rome, it = (answers.found[Forced(prompt, "Italy")].log_probabilities for prompt in ("Rome lies in", "It"))
    assert rome != pytest.approx(it, abs=1e-3)


def test_an_answer_that_the_model_ends_is_cut_there(loaded):
    prompts = ["I think that you know", "Rome lies in", "It"]
    (whole,) = said(loaded, prompts[:1])
    loaded.model.generation_config.eos_token_id = next(token for token in whole if token != whole[0])
    literals = [literal(loaded, Free(prompt, 6)) for prompt in prompts]
    assert greedy_texts(loaded, prompts, [6, 6, 6]) == [answer.text for answer in literals]
    assert literals[0].n_tokens < 6


def said(loaded: LoadedModel, prompts: list[str]) -> list[tuple[int, ...]]:
    tasks = [PromptTask(tuple(loaded.tokenizer(prompt)["input_ids"]), (), 6) for prompt in prompts]
    return [result.free for result in run_seq2seq(loaded, tasks, batch_tokens=100)]


def test_prompt_and_answer_are_apart_and_the_answer_ends_with_the_end_token(loaded):
    answered = encode_answered(loaded.tokenizer, "Rome lies in", " Italy ", apart=True)
    assert list(answered.prompt) == loaded.tokenizer("Rome lies in")["input_ids"]
    assert list(answered.answer) == loaded.tokenizer("Italy")["input_ids"]
    assert answered.answer[-1] == answered.prompt[-1] == loaded.tokenizer.eos_token_id


@pytest.mark.parametrize(("prompt", "answer"), [("Rome lies in", "  "), ("", " ")])
def test_an_empty_answer_is_refused(prompt, answer):
    with pytest.raises(RequestError, match="no tokens of its own"):
        encode_answered(tiny_seq2seq().tokenizer, prompt, answer, apart=True)


def test_the_loss_of_transformers_is_the_mean_of_what_is_measured(loaded):
    question = Forced(REQUEST.text, REQUEST.target_new)
    measured = Engine().ask(state_of(loaded), [question]).found[question].log_probabilities
    ids = (loaded.tokenizer(text, return_tensors="pt")["input_ids"] for text in (question.prompt, question.target))
    with torch.no_grad():
        loss = float(loaded.model(input_ids=next(ids), labels=next(ids)).loss)
    assert sum(measured) / len(measured) == pytest.approx(-loss, abs=1e-4)
    assert target_log_probability(loaded, REQUEST) == pytest.approx(-loss, abs=1e-4)


def test_all_default_metrics_are_those_of_the_slow_road(loaded):
    metrics, data = [metric() for metric in METRICS if metric.default], Dataset((REQUEST,))
    wanted = questions(data, metrics)
    other = tiny_seq2seq(seed=1)
    fast = [Engine().ask(state_of(each), wanted) for each in (loaded, other)]
    slow = [Answers("0" * 64, {question: literal(each, question) for question in wanted}) for each in (loaded, other)]
    scores = [one.score for one in measure(data, metrics, *fast)]
    assert scores == [one.score for one in measure(data, metrics, *slow)]
    assert {score.metric for score in scores} >= {"reliability", "generalization", "locality", "exact_match"}


def test_a_text_is_not_predicted():
    with pytest.raises(RequestError, match="an encoder-decoder predicts no text"):
        Engine().ask(state_of(tiny_seq2seq()), [Text("A text. " * 20, window=50)])
