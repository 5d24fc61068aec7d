"""Scores against a literal implementation, one prompt at a time, on the demo base."""

from __future__ import annotations

import pytest
import torch

from patchmgr.demo.bases import demo_folder
from patchmgr.demo.edits import edit_requests
from patchmgr.evaluate.answers import forced_tokens, greedy_texts
from patchmgr.evaluate.measure import Answers, ask, score
from patchmgr.evaluate.metrics import agreement, starts_with_target, token_accuracy
from patchmgr.evaluate.probes import collect_probes
from patchmgr.live.load import load_model
from patchmgr.request import Probe, parse_request

ROOT, OTHER = "0" * 64, "1" * 64


@pytest.fixture(scope="module")
def atlas():
    return load_model(demo_folder("atlas"), ROOT)


@pytest.fixture(scope="module")
def requests():
    return tuple(parse_request(value, where="demo") for value in edit_requests(8, seed=5))


@torch.no_grad()
def literal_tokens(loaded, probe: Probe) -> tuple[list[int], list[int]]:
    """Token by token: feed the prompt and the true tokens so far, take the argmax."""
    prompt = loaded.tokenizer(probe.prompt)["input_ids"]
    target = loaded.tokenizer(f"{probe.prompt} {probe.target}")["input_ids"][len(prompt) :]
    found = []
    for n in range(len(target)):
        logits = loaded.model(torch.tensor([prompt + target[:n]])).logits
        found.append(int(logits[0, -1].argmax()))
    return target, found


def test_forced_tokens_are_those_of_one_prompt_at_a_time(atlas, requests):
    probes = collect_probes(requests).all
    assert len(probes) > 50
    for probe, (target, found) in zip(probes, forced_tokens(atlas, probes), strict=True):
        assert (list(target), list(found)) == literal_tokens(atlas, probe)


def test_greedy_texts_are_those_of_one_prompt_at_a_time(atlas, requests):
    prompts = [request.text for request in requests]
    together = greedy_texts(atlas, prompts, [6] * len(prompts))
    alone = [greedy_texts(atlas, [prompt], [6])[0] for prompt in prompts]
    assert together == alone


def test_the_base_answers_its_own_probes(atlas, requests):
    """Every probe of the demo's requests is one that the base answers, and unchanged weights change nothing."""
    truth = [request.model_copy(update={"target_new": request.target_true}) for request in requests]
    answers = ask(atlas, truth, ROOT)
    found = {(s.metric, s.phase): s.value for s in score(truth, answers, answers)}
    assert found["reliability", "before"] == found["generalization", "after"] == 1.0
    assert found["exact_match", "before"] == found["locality", "after"] == 1.0


def test_means_counts_and_kinds_by_hand():
    request = parse_request(
        {
            "prompt": "a", "target_new": "x", "rephrasings": ["b", "c"],
            "locality": [{"prompt": "d", "target": "y", "kind": "near"}, {"prompt": "e", "target": "z", "kind": "far"}],
        },
        where="here",
    )  # fmt: skip
    probes = collect_probes([request])
    edit, (b, c), (d, e) = probes.reliability[0], probes.generalization, probes.locality
    same = {c: ((1,), (1,)), e: ((5,), (5,))}
    before = Answers(ROOT, {edit: ((1, 2), (9, 9)), b: ((1,), (9,)), d: ((3, 4), (3, 7)), **same}, {edit: "nothing"})
    after = Answers(OTHER, {edit: ((1, 2), (1, 9)), b: ((1,), (1,)), d: ((3, 4), (8, 7)), **same}, {edit: "X, yes"})
    found = {(s.metric, s.protocol, s.phase): (s.value, s.n, s.state_root) for s in score([request], before, after)}
    assert found == {
        ("reliability", "tf", "before"): (0.0, 1, ROOT),
        ("reliability", "tf", "after"): (0.5, 1, OTHER),
        ("generalization", "tf", "before"): (0.5, 2, ROOT),
        ("generalization", "tf", "after"): (1.0, 2, OTHER),
        ("exact_match", "gen", "before"): (0.0, 1, ROOT),
        ("exact_match", "gen", "after"): (1.0, 1, OTHER),
        ("locality", "tf", "after"): (0.75, 2, OTHER),
        ("locality/near", "tf", "after"): (0.5, 1, OTHER),
        ("locality/far", "tf", "after"): (1.0, 1, OTHER),
    }


def test_metrics_by_hand():
    assert token_accuracy((1, 2, 3), (1, 0, 3)) == pytest.approx(2 / 3)
    assert agreement((1, 2), (1, 2)) == 1.0
    assert starts_with_target("  rome.", "Rome") == 1.0
    assert starts_with_target("Romeo", "Rome") == 0.0
    assert starts_with_target("", "Rome") == 0.0
