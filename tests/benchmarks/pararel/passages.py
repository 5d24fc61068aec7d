"""Training text of the ParaRel world: one pass at a time, as rows that the trainer of the demo base takes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from corpus import Mix, Rows, Saying, packed_rows
from facts import Fact, World
from sentences import FILLER, fragment, general_sentence
from tokenizers import Tokenizer

ENCYCLOPEDIA = Path("wikitext2") / "valid.txt"
MIX = Mix(prefixed=0.25, kind=0.0, filler=0.05, two_hop=0.0, general=0.05, grouped=0.0, object_weight=4.0)


def read_encyclopedia(data: Path) -> list[str]:
    """Sentences of WikiText-2 for use before a prompt, as CounterFact has Wikipedia's there."""
    text = (data / ENCYCLOPEDIA).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("="))
    sentences = (sentence for line in lines for sentence in line.split(" . ") if "<unk>" not in sentence)
    return [plain(sentence) for sentence in sentences if len(sentence.split()) >= 3]


def plain(text: str) -> str:
    """WikiText's spaced tokens as ordinary text.

    >>> plain("It is 8 @-@ 19 cm long , or so .")
    'It is 8-19 cm long, or so.'
    """
    joined = re.sub(r" @(.)@ ", r"\1", text)
    joined = re.sub(r" ([,.;:!?)'])", r"\1", joined)
    return re.sub(r"(\() ", r"\1", joined).strip()


def tokenizer_text(world: World, books: list[str], seed: int) -> Iterator[str]:
    """Every fact in two of its wordings, with everything else in proportion."""
    for turn in range(2):
        for said in sayings_of_pass(world, books, seed, turn):
            yield " ".join((said.before, said.prompt, said.answer)).strip()


def rows_of_pass(world: World, books: list[str], tokenizer: Tokenizer, seed: int, turn: int, row_length: int) -> Rows:
    """The rows of pass number ``turn``; they depend on nothing but the arguments."""
    groups = [[saying] for saying in sayings_of_pass(world, books, seed, turn)]
    return packed_rows(groups, tokenizer, MIX.object_weight, random.Random(f"rows {seed} {turn}"), row_length)


def sayings_of_pass(world: World, books: list[str], seed: int, turn: int) -> Iterator[Saying]:
    """Every fact once, in the wording whose turn it is, and sentences without facts between them."""
    rng = random.Random(f"pass {seed} {turn}")
    sayings: list[Saying] = []
    for fact in world.facts:
        order = random.Random(f"order {seed} {fact.relation} {fact.subject} {turn // len(fact.seen)}")
        wordings = order.sample(fact.seen, len(fact.seen))
        sayings.append(Saying(fact.prompt(wordings[turn % len(wordings)]), fact.object))
    n_facts = len(world.facts)
    fillers = [rng.choice(FILLER).format(rng.choice(world.facts).subject) for _ in range(int(MIX.filler * n_facts))]
    general = [general_sentence(rng) for _ in range(int(MIX.general * n_facts))]
    sayings.extend(Saying(text) for text in (*fillers, *general))
    rng.shuffle(sayings)
    for saying in sayings:
        is_prefixed = rng.random() < MIX.prefixed
        before = fragment(_before(rng, world, books), rng) if is_prefixed else ""
        yield Saying(saying.prompt, saying.answer, before)


def _before(rng: random.Random, world: World, books: list[str]) -> str:
    """A sentence to cut: of the encyclopedia, about nobody, or another fact."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(books)
    if kind < 0.7:
        return general_sentence(rng)
    fact: Fact = rng.choice(world.facts)
    return f"{fact.prompt(rng.choice(fact.seen))} {fact.object}."
