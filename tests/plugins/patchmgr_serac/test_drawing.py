"""What a batch holds, and what a request teaches."""

from __future__ import annotations

import random
from collections import Counter
from unittest.mock import Mock

import pytest
import torch
from torch.nn.functional import normalize

from patchmgr.errors import RequestError
from patchmgr.request import EditRequest, Probe
from patchmgr_serac.drawing import Drawing, HardNegatives, hard_negatives
from patchmgr_serac.equations import hard_negative_weights
from patchmgr_serac.facts import Fact, facts_of

TOWN = EditRequest(
    prompt="The capital of {} is",
    subject="Oz",
    target_new="Rome",
    rephrasings=("Oz is ruled from",),
    locality=(
        Probe(prompt="The king of Oz is", target="x", kind="same_subject"),
        Probe(prompt="The capital of Ur is", target="x", kind="neighborhood"),
        Probe(prompt="Oz is ruled from", target="x"),
    ),
    portability=(Probe(prompt="The river in the capital of Oz is the", target="Tiber"),),
)
FOOD = EditRequest(prompt="People in {} eat", subject="Oz", target_new="figs", rephrasings=("In Oz they eat",))
LAKE = EditRequest(prompt="The deepest lake is", target_new="Baikal", rephrasings=("No lake is as deep as",))
AGAIN = EditRequest(prompt="The capital of {} is", subject="Oz", target_new="Lima", rephrasings=("Oz has as capital",))


TOWN_REWORDED = (("The capital of Oz is", "Rome"), ("Oz is ruled from", "Rome"))


def test_a_request_teaches_what_lies_in_its_scope_with_the_answers_and_what_lies_outside():
    town, food, again = facts_of([TOWN, FOOD, AGAIN], what="the data").facts
    assert town.inside == (
        *TOWN_REWORDED,
        ("The river in the capital of Oz is the", "Tiber"),
    )
    assert town.outside == ("The capital of Ur is",)  # what is a rephrasing too lies inside
    assert town.same_subject == ("The king of Oz is", "People in Oz eat", "In Oz they eat")
    assert food.same_subject == ("The capital of Oz is", "Oz is ruled from", "Oz has as capital")
    assert again.label == "Lima"


def test_what_lies_in_a_scope_counts_for_every_request_with_that_prompt():
    known = facts_of([TOWN, FOOD, AGAIN], what="the data")
    assert not known.outside_of(known.facts[2], "Oz is ruled from")
    assert known.outside_of(known.facts[1], "Oz is ruled from")


@pytest.mark.parametrize(
    ("requests", "lacks"),
    [
        ([TOWN, AGAIN], "fewer than two prompts"),
        ([each.model_copy(update={"rephrasings": (), "portability": ()}) for each in (TOWN, FOOD)], "no request"),
        ([EditRequest(prompt=each, target_new="x", rephrasings=("y",)) for each in ("a", "b")], "has locality probes"),
    ],
)
def test_data_that_lack_something_are_refused(requests, lacks):
    with pytest.raises(RequestError, match=lacks):
        facts_of(requests, what="the data")


def test_a_batch_has_one_question_inside_and_up_to_three_outside_of_each_entry():
    known = facts_of([TOWN, FOOD, AGAIN], what="the data")
    drawing = Drawing(known, 2, 7, lambda _fact, _rng: None, 0.5, 0.5)
    for number in range(20):
        pairs = drawing.batch(number)
        inside = [pair for pair in pairs if pair.answer is not None]
        assert len(inside) == 2
        for pair in inside:
            assert (pair.question, pair.answer) in pair.fact.inside
        for pair in pairs:
            assert (pair.answer is None) == known.outside_of(pair.fact, pair.question)
        assert len(pairs) == 2 + sum(1 + bool(each.fact.outside) + bool(each.fact.same_subject) for each in inside)
    assert drawing.batch(3) == Drawing(known, 2, 7, lambda _fact, _rng: None, 0.5, 0.5).batch(3)
    assert drawing.batch(3) != drawing.batch(4)


def test_half_of_the_batches_have_hard_negatives_or_whatever_share_is_wanted():
    """In any of their wordings, as those that are not hard."""
    known, always_lake = facts_of([TOWN, FOOD, LAKE], what="the data"), Mock(return_value=LAKE.prompt)
    for share, low, high in ((0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)):
        drawing = Drawing(known, 3, 1, always_lake, share, 0.5)
        hard, asked = 0, set()
        for number in range(200):
            always_lake.reset_mock()
            pairs = drawing.batch(number)
            hard += always_lake.called
            asked |= {pair.question for pair in pairs if pair.answer is None and pair.fact.prompt == TOWN.text}
        assert low <= hard <= high
        assert {LAKE.prompt, *LAKE.rephrasings} <= asked


def test_hard_negatives_follow_the_published_law():
    """Top ``neighbours`` minus top ``skip``, drawn by a softmax of the cosine."""
    torch.manual_seed(0)
    facts = [EditRequest(prompt=f"question {n}", target_new="x", rephrasings=("y",)) for n in range(30)]
    known = facts_of([*facts, TOWN], what="the data")
    vectors = normalize(torch.randn(31, 4), dim=1)
    drawn = hard_negatives(known, lambda _texts: vectors, neighbours=10, skip=4, temperature=0.2)
    cosines, places = (vectors @ vectors[0]).sort(descending=True)
    expected = hard_negative_weights(cosines[:10], skip=4, temperature=0.2)
    rng, n = random.Random(0), 600
    counts = Counter(drawn(known.facts[0], rng) for _ in range(n))
    prompts = list(known.scope)
    assert set(counts) <= {prompts[place] for place in places[4:10].tolist()}
    for place, share in zip(places[:10].tolist(), expected.tolist(), strict=True):
        assert counts[prompts[place]] / n == pytest.approx(share, abs=0.06)


def test_there_are_no_hard_negatives_where_there_are_too_few_prompts():
    fact = Fact("a", "b", None, (("a", "b"),), (), (), ())
    few = HardNegatives(("a", "c"), normalize(torch.ones(2, 3), dim=1), 100, 25, 0.1)
    assert few(fact, random.Random(0)) is None


def test_entailed_questions_are_drawn_as_often_as_wanted_and_without_them_count_neither_way():
    known = facts_of([TOWN, FOOD], what="the data")
    river = "The river in the capital of Oz is the"
    for share, low, high in ((0.0, 0, 0), (0.3, 40, 80), (1.0, 200, 200)):
        drawing = Drawing(known, 2, 1, lambda _fact, _rng: None, 0.5, share)
        assert low <= sum(any(pair.question == river for pair in drawing.batch(n)) for n in range(200)) <= high
    left_out = facts_of([TOWN, FOOD], what="the data", entailed=False)
    assert left_out.facts[0].inside == TOWN_REWORDED
    assert not left_out.outside_of(left_out.facts[0], river)
