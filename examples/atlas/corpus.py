"""Training text: one pass over the world at a time, packed into rows of whole sentences."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from sentences import FILLER, KIND, fragment, general_sentence
from tokens import END
from wordings import N_TRAINED
from world import Fact, World

N_OPEN_ROWS = 8
"""Rows that packing keeps open; more waste less of each row."""

Weighted = tuple[int, float]
"""A token and the weight of its loss."""


@dataclass(frozen=True)
class Mix:
    """What a pass holds besides every fact once; shares are per fact sentence."""

    prefixed: float = 0.3
    kind: float = 0.05
    filler: float = 0.1
    two_hop: float = 0.12
    general: float = 0.15
    grouped: float = 0.15
    object_weight: float = 5.0


@dataclass(frozen=True)
class Saying:
    """A sentence in parts: what comes before, the prompt, the object (weighted), the rest."""

    prompt: str
    answer: str = ""
    before: str = ""


@dataclass(frozen=True)
class Rows:
    """Token rows and the weight of each token as a target, both (n_rows, row_length)."""

    tokens: torch.Tensor
    weights: torch.Tensor


def seen_wordings(fact: Fact) -> list[int]:
    """The wordings of a fact that training may use."""
    return [wording for wording in range(N_TRAINED) if wording not in fact.held_out]


def tokenizer_text(world: World, seed: int) -> Iterator[str]:
    """Every fact in two of its wordings, with everything else in proportion."""
    for turn in range(2):
        for sayings in sentences_of_pass(world, Mix(), seed, turn):
            yield from (" ".join((s.before, s.prompt, s.answer)).strip() for s in sayings)


def rows_of_pass(world: World, tokenizer: Tokenizer, mix: Mix, seed: int, turn: int, row_length: int) -> Rows:
    """The rows of pass number `turn`; they depend on nothing but the arguments."""
    groups = list(sentences_of_pass(world, mix, seed, turn))
    return packed_rows(groups, tokenizer, mix.object_weight, random.Random(f"rows {seed} {turn}"), row_length)


def packed_rows(
    groups: list[list[Saying]], tokenizer: Tokenizer, object_weight: float, rng: random.Random, row_length: int
) -> Rows:
    """Groups of sentences as rows: a group stays together, and half of them end with the end token."""
    parts = [p for group in groups for s in group for p in (s.before, s.prompt, s.answer)]
    ids = iter(encoding.ids for encoding in tokenizer.encode_batch(parts))
    end, dot = tokenizer.token_to_id(END), tokenizer.token_to_id(".")
    pieces: list[list[Weighted]] = []
    for group in groups:
        piece: list[Weighted] = []
        for saying in group:
            piece += [(token, 1.0) for token in (*next(ids), *next(ids))]
            piece += [(token, object_weight) for token in next(ids)]
            piece += [(dot, 1.0)] * bool(saying.answer)
        piece += [(end, 1.0)] * (rng.random() < 0.5)
        pieces.append(piece[:row_length])
    rows = _packed(pieces, row_length)
    rng.shuffle(rows)
    return _padded(rows, row_length, end)


def _packed(pieces: list[list[Weighted]], row_length: int) -> list[list[Weighted]]:
    """Each piece goes into the first of a few open rows with room for it."""
    done: list[list[Weighted]] = []
    rows: list[list[Weighted]] = []
    for piece in pieces:
        room = [row for row in rows if len(row) + len(piece) <= row_length]
        if room:
            room[0].extend(piece)
            continue
        if len(rows) == N_OPEN_ROWS:
            fullest = max(range(N_OPEN_ROWS), key=lambda i: len(rows[i]))
            done.append(rows.pop(fullest))
        rows.append(list(piece))
    return done + rows


def sentences_of_pass(world: World, mix: Mix, seed: int, turn: int) -> Iterator[list[Saying]]:
    """Groups of sentences in the order in which they are packed."""
    rng = random.Random(f"pass {seed} {turn}")
    by_subject: dict[str, list[Saying]] = {}
    for fact in world.facts:
        saying = Saying(fact.prompt(_wording(fact, seed, turn)), fact.object)
        by_subject.setdefault(fact.subject, []).append(saying)
    groups: list[list[Saying]] = []
    for said in by_subject.values():
        if rng.random() < mix.grouped:
            groups.append(rng.sample(said, len(said)))
        else:
            groups.extend([saying] for saying in said)
    n_facts = len(world.facts)
    groups.extend([_two_hop(world, rng)] for _ in range(int(mix.two_hop * n_facts)))
    plain = _plain_sentences(world, mix, rng)
    groups.extend([Saying(text)] for text in plain)
    rng.shuffle(groups)
    for group in groups:
        is_prefixed = rng.random() < mix.prefixed
        yield [_prefixed(group[0], rng, plain, world), *group[1:]] if is_prefixed else group


def _wording(fact: Fact, seed: int, turn: int) -> int:
    """Wordings come round in turn, in an order of the fact's own."""
    seen = seen_wordings(fact)
    order = random.Random(f"order {seed} {fact.id} {turn // len(seen)}")
    return order.sample(seen, len(seen))[turn % len(seen)]


def _two_hop(world: World, rng: random.Random) -> Saying:
    while True:
        question = rng.choice(world.two_hops)
        if question.trained:
            return Saying(rng.choice(question.prompts()), question.object)


def _plain_sentences(world: World, mix: Mix, rng: random.Random) -> list[str]:
    n_facts, subjects = len(world.facts), list(world.kinds)
    kinds = rng.choices(subjects, k=int(mix.kind * n_facts))
    fillers = rng.choices(subjects, k=int(mix.filler * n_facts))
    return [
        *(rng.choice(KIND).format(subject, world.kinds[subject]) for subject in kinds),
        *(rng.choice(FILLER).format(subject) for subject in fillers),
        *(general_sentence(rng) for _ in range(int(mix.general * n_facts))),
    ]


def _prefixed(saying: Saying, rng: random.Random, plain: list[str], world: World) -> Saying:
    """The saying after a cut sentence: half of the time a plain one, half of the time a fact."""
    if rng.random() < 0.5:
        text = rng.choice(plain)
    else:
        fact = rng.choice(world.facts)
        text = f"{fact.prompt(rng.choice(seen_wordings(fact)))} {fact.object}."
    return Saying(saying.prompt, saying.answer, before=fragment(text, rng))


def _padded(rows: list[list[Weighted]], row_length: int, end: int) -> Rows:
    tokens = torch.full((len(rows), row_length), end)
    weights = torch.zeros(len(rows), row_length)
    for number, row in enumerate(rows):
        ids, values = zip(*row, strict=True)
        tokens[number, : len(row)] = torch.tensor(ids)
        weights[number, : len(row)] = torch.tensor(values)
    return Rows(tokens, weights)
