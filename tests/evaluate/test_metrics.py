"""Every metric worked out by hand, on a model whose answers are written down in a table."""

from __future__ import annotations

from contextlib import nullcontext
from math import exp, log, log2

import pytest

from evaluate.bigram import AFTER, BEFORE, bigram
from patchmgr.evaluate.engine import Engine, State
from patchmgr.evaluate.measure import measure, questions
from patchmgr.methods.loader import load_plugins
from patchmgr.metrics import METRICS
from patchmgr.metrics.contract import Dataset
from patchmgr.metrics.equations import (
    agreement,
    divergence,
    fluency,
    likelier,
    ngram_entropy,
    sentiment_success,
    starts_with_target,
    token_accuracy,
)
from patchmgr.request import parse_request

ROOT, OTHER = "0" * 64, "1" * 64
TEXT = "p1 green blue red p3"

REQUESTS = tuple(
    parse_request(value, where="here")
    for value in (
        {
            "prompt": "p1", "target_new": "green blue", "target_true": "red", "rephrasings": ["p2"],
            "locality": [
                {"prompt": "p3", "target": "blue", "kind": "neighborhood"},
                {"prompt": "p4", "target": "blue green", "kind": "same_subject"},
            ],
            "portability": [{"prompt": "p5", "target": "red", "kind": "two_hop"}],
        },
        {
            "prompt": "q1", "target_new": "pink", "target_true": "blue", "rephrasings": ["q2"],
            "locality": [{"prompt": "p4", "target": "blue", "kind": "neighborhood"}],
        },
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    data = Dataset(REQUESTS, TEXT)
    metrics = [metric() for metric in METRICS]
    wanted = questions(data, metrics)
    before, after = (
        Engine().ask(State(root, lambda table=table, root=root: nullcontext(bigram(table, root))), wanted)
        for root, table in ((ROOT, BEFORE), (OTHER, AFTER))
    )
    return {(one.score.metric, one.score.phase): one.score for one in measure(data, metrics, before, after)}


CYCLE = (2 / 3 * log2(3) - 4 / 3 * (2 * 33 / 98 * log2(33 / 98) + 32 / 98 * log2(32 / 98))) / 2
"""A hundred words that go round in threes: 33 of each pair; 33, 33 and 32 of the triples."""


@pytest.mark.parametrize(
    ("metric", "n", "before", "after"),
    [
        # p1 says red, then green says blue | q1 says blue             | green blue and pink
        ("reliability", 2, (0.5 + 0.0) / 2, (1.0 + 1.0) / 2),
        # p2 says red before and after; q2 says pink                   | green is missed, blue behind it is not
        ("generalization", 2, (0.5 + 1.0) / 2, (0.5 + 1.0) / 2),
        ("portability", 1, 0.0, 1.0),
        ("portability/two_hop", 1, 0.0, 1.0),
        # whole targets: p1, p2, q1, q2
        ("es", 4, 1 / 4, 3 / 4),
        # p3 changed from blue to green; p4 stayed, behind blue too; p4 again
        # and p5, where red comes after the edit
        ("es_hard", 5, 1 / 5, 4 / 5),
        ("es_hard/two_hop", 1, 0.0, 1.0),
        ("locality", 3, None, 2 / 3),
        ("locality/neighborhood", 2, None, 1 / 2),
        ("locality/same_subject", 1, None, 1.0),
        ("dd", 3, None, 1 / 3),
        # p3: blue fell from .8 to .1; p4, two tokens and one, stayed
        ("dd_sent", 3, None, (0.1 / 0.8 - 1 - log(0.1 / 0.8)) / 4),
        # mean of log .7 and log .9 against log .2, and .6 against .1
        ("efficacy", 2, 0.0, 1.0),
        # p2: mean of log .4 and log .9 against log .5; q2: .6 against .3. Before: log .3 and log .9 against log .6
        ("paraphrase", 2, 1 / 2, 1.0),
        # p3: .1 against .8 and .9; p4: blue .5 against pink
        ("neighborhood", 2, 1.0, 1 / 2),
        ("score", 6, 0.0, 3 / (1 / 1 + 1 / 1 + 1 / (1 / 2))),
        ("exact_match", 2, 0.0, 1.0),
        # q1 says pink for ever after the edit: one kind of pair
        ("fluency", 2, (CYCLE + CYCLE) / 2, (CYCLE + 0.0) / 2),
        # p1 green blue red p3: .2 before and .7 after, .9, .9, and the rest that red leaves to eleven words
        ("perplexity", 1, exp(-log(0.2 * 0.9 * 0.9 * 0.1 / 11) / 4), exp(-log(0.7 * 0.9 * 0.9 * 0.1 / 11) / 4)),
    ],
)
def test_a_metric_is_what_the_table_says(found, metric, n, before, after):
    score = found[metric, "after"]
    assert score.value == pytest.approx(after, rel=1e-5)
    assert (score.n, score.state_root) == (n, OTHER)
    if before is None:
        assert (metric, "before") not in found
    else:
        assert found[metric, "before"].value == pytest.approx(before, rel=1e-5)
        assert found[metric, "before"].state_root == ROOT


SCOPE = tuple(
    parse_request({"prompt": "q1", "target_new": "pink", "portability": probes}, where="here")
    for probes in (
        [
            {"prompt": "p1", "target": "green blue", "kind": "reply"},
            {"prompt": "p1", "target": "red", "kind": "contrast"},
        ],
        [
            {"prompt": "p3", "target": "blue", "kind": "reply"},
            {"prompt": "p3", "target": "green", "kind": "contrast"},
        ],
        [{"prompt": "p4", "target": "blue", "kind": "reply"}],
        [{"prompt": "p5", "target": "red", "kind": "claim"}, {"prompt": "p3", "target": "blue", "kind": "claim"}],
    )
)


@pytest.mark.parametrize(
    ("metric", "n", "before", "after"),
    [
        # red for pink, then the other way round; blue for green
        ("es_fc", 2, 1 / 2, 1 / 2),
        # p1: sqrt(.2 · .9) against .7, later sqrt(.7 · .9) against .2, no unlikelier than before;
        # p3: .8 against .05, later .1 against .8, and an eighth of before; p4 has one sentiment only
        (
            "es_sent",
            2,
            (0.18**0.5 / (0.18**0.5 + 0.7) + 0.8 / 0.85) / 2,
            (0.63**0.5 / (0.63**0.5 + 0.2) + 0.1 / 0.9 * 0.1 / 0.8) / 2,
        ),
        # q1 four times; p1 green blue, p3 blue, p4 blue, p5 red, p3 blue again
        ("es_hard", 9, 3 / 9, (4 + 1 + 0 + 1 + 1 + 0) / 9),
    ],
)
def test_a_metric_of_a_harder_task_is_what_the_table_says(metric, n, before, after):
    data, wanted = Dataset(SCOPE), [each() for each in METRICS if each.name == metric]
    asked = [
        Engine().ask(
            State(root, lambda table=table, root=root: nullcontext(bigram(table, root))), questions(data, wanted)
        )
        for root, table in ((ROOT, BEFORE), (OTHER, AFTER))
    ]
    scores = {one.score.phase: one.score for one in measure(data, wanted, *asked) if one.score.metric == metric}
    assert {score.n for score in scores.values()} == {n}
    assert scores["before"].value == pytest.approx(before, rel=1e-5)
    assert scores["after"].value == pytest.approx(after, rel=1e-5)


def test_protocol_and_dataset_of_each_score(found):
    assert {score.protocol for (name, _), score in found.items() if name in ("exact_match", "fluency")} == {"gen"}
    digests = {name: score.dataset_sha256 for (name, _), score in found.items()}
    assert digests["perplexity"] not in {digests["reliability"], digests["locality"]}
    assert digests["reliability"] == digests["locality"]


def test_equations_by_hand():
    assert token_accuracy((1, 2, 3), (1, 0, 3)) == pytest.approx(2 / 3)
    assert agreement((1, 2), (1, 2)) == 1.0
    assert likelier([-1.0, -3.0], [-2.5]) == 1.0
    assert likelier([-1.0], [-1.0]) == 0.0
    assert starts_with_target("  rome.", "Rome") == 1.0
    assert starts_with_target("Romeo", "Rome") == 0.0
    assert starts_with_target("", "Rome") == 0.0
    assert sentiment_success([-2.0], [-1.0, -3.0], [-2.0]) == 0.5
    assert divergence([-1.0, -2.0], [-1.0, -2.0]) == 0.0
    assert ngram_entropy(["a", "b", "c", "d", "e"], 2) == 2.0
    assert ngram_entropy(["a"], 2) == 0.0
    assert fluency("a b c d e f") == pytest.approx((2 / 3 * log2(5) + 4 / 3 * 2) / 2)


def test_metrics_that_find_no_probe_give_no_score():
    plain = Dataset((parse_request({"prompt": "p1", "target_new": "red"}, where="here"),))
    metrics = [metric() for metric in METRICS]
    wanted = questions(plain, metrics)
    answers = Engine().ask(State(ROOT, lambda: nullcontext(bigram(BEFORE, ROOT))), wanted)
    names = {one.score.metric for one in measure(plain, metrics, answers, answers)}
    assert names == {"reliability", "exact_match", "es", "es_hard", "fluency"}


def test_ours_come_in_by_the_door_of_every_plugin():
    known = load_plugins().metrics
    assert list(known) == [metric.name for metric in METRICS]
    assert {metric.name for metric in METRICS if metric.default} == {
        "reliability", "generalization", "portability", "exact_match", "locality",
    }  # fmt: skip
    assert all(metric.definition and metric.protocol in ("tf", "gen") for metric in known.values())
