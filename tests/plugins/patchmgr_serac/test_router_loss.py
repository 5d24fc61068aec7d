"""The scope classifier's loss against loops over entries and questions."""

from __future__ import annotations

import math

import pytest
import torch

from patchmgr_serac import SeracTrainer
from patchmgr_serac.drawing import Drawing, Pair
from patchmgr_serac.facts import facts_of
from patchmgr_serac.networks import begin
from patchmgr_serac.router_loss import router_loss


@pytest.fixture
def networks(base, encoder_at):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        found = begin(SeracTrainer.parameters(encoder=str(encoder_at), counterfactual="base"), base)
    found.train(False)
    return found


@pytest.fixture
def known(world):
    return facts_of(world(("France", "Italy", "Japan", "Kenya", "Peru")), what="data")


def pairs_of(known):
    return Drawing(known, 4, 7, lambda *_: None, 0.0, 0.2).batch(0)


def likelihood(networks, entry, question):
    reading = networks.encoder.reading
    m, x = networks.encoder(reading.entries([entry]))[0], networks.encoder(reading.queries([question]))[0]
    return math.exp(-float((x - m).detach().square().sum()))


def mean(values):
    return sum(values) / len(values)


def test_drawn_pairs_count_by_themselves(networks, known):
    pairs = pairs_of(known)
    inside = [-math.log(likelihood(networks, p.fact.entry, p.question)) for p in pairs if p.answer is not None]
    outside = [-math.log(1 - likelihood(networks, p.fact.entry, p.question)) for p in pairs if p.answer is None]
    found = router_loss(networks, pairs, known, "pairs")
    assert float(found.detach()) == pytest.approx(mean(inside) + mean(outside), rel=1e-3)


def test_each_question_counts_against_the_likeliest_entry_that_it_does_not_belong_to(networks, known):
    pairs = pairs_of(known)
    facts = {pair.fact.entry: pair.fact for pair in pairs}
    inside = [-math.log(likelihood(networks, p.fact.entry, p.question)) for p in pairs if p.answer is not None]
    outside = []
    for question in dict.fromkeys(pair.question for pair in pairs):
        wrong = [
            likelihood(networks, entry, question)
            for entry, fact in facts.items()
            if question not in known.scope[fact.prompt]
        ]
        outside.append(-math.log(1 - max(wrong)))
    assert len(outside) > sum(pair.answer is None for pair in pairs)
    found = router_loss(networks, pairs, known, "likeliest")
    assert float(found.detach()) == pytest.approx(mean(inside) + mean(outside), rel=1e-3)


def test_a_batch_of_one_entry_has_a_wrong_one_for_questions_outside_alone(networks, known):
    (fact,) = (known.facts[0],)
    pairs = [Pair(fact, fact.prompt, fact.label), Pair(fact, fact.outside[0], None)]
    wanted = -math.log(likelihood(networks, fact.entry, fact.prompt))
    wanted -= math.log(1 - likelihood(networks, fact.entry, fact.outside[0]))
    assert float(router_loss(networks, pairs, known, "likeliest").detach()) == pytest.approx(wanted, rel=1e-3)
