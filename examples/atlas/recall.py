"""What a model answers: the object of a prompt, greedily and token for token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from wordings import N_TRAINED, RELATIONS
from world import World

BATCH = 128


@dataclass(frozen=True)
class Recall:
    """The wordings in which each fact and each two-hop question is answered."""

    facts: dict[str, tuple[int, ...]]
    two_hops: dict[str, tuple[int, ...]]


def measure(model: PreTrainedModel, tokenizer: Tokenizer, world: World) -> Recall:
    """Ask every fact in its nine wordings and every two-hop question in its three."""
    asked = [(f.id, f.prompt(w), f.object) for f in world.facts for w in range(N_TRAINED + 1)]
    asked += [(q.id, prompt, q.object) for q in world.two_hops for prompt in q.prompts()]
    right = answered(model, tokenizer, [(prompt, answer) for _, prompt, answer in asked])
    hits: dict[str, list[bool]] = {}
    for (key, _, _), is_right in zip(asked, right, strict=True):
        hits.setdefault(key, []).append(is_right)
    indices = {key: tuple(i for i, hit in enumerate(row) if hit) for key, row in hits.items()}
    return Recall(
        {fact.id: indices[fact.id] for fact in world.facts},
        {question.id: indices[question.id] for question in world.two_hops},
    )


@torch.no_grad()
def answered(model: PreTrainedModel, tokenizer: Tokenizer, questions: Sequence[tuple[str, str]]) -> list[bool]:
    """For each (prompt, answer): is every token of the answer the argmax under teacher forcing?"""
    ids = [(tokenizer.encode(p).ids, tokenizer.encode(a).ids) for p, a in questions]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i][0]) + len(ids[i][1]))
    right = [False] * len(ids)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        length = max(len(ids[i][0]) + len(ids[i][1]) for i in chosen)
        batch = torch.zeros(len(chosen), length, dtype=torch.long)
        for row, i in enumerate(chosen):
            tokens = [*ids[i][0], *ids[i][1]]
            batch[row, : len(tokens)] = torch.tensor(tokens)
        guesses = model(input_ids=batch.to(model.device)).logits.argmax(-1).cpu()
        for row, i in enumerate(chosen):
            prompt, answer = ids[i]
            at = len(prompt) - 1
            right[i] = guesses[row, at : at + len(answer)].tolist() == answer
    return right


def shares(world: World, recall: Recall) -> dict[str, float]:
    """Recall on seen, held-out and never-used wordings, and on two-hop questions."""
    seen, held_out, unused = [], [], []
    for fact in world.facts:
        hits = recall.facts[fact.id]
        for wording in range(N_TRAINED):
            (held_out if wording in fact.held_out else seen).append(wording in hits)
        unused.append(N_TRAINED in hits)
    return {
        "seen wordings": _share(seen),
        "held-out wordings": _share(held_out),
        "never-used wording": _share(unused),
        "two-hop, trained questions": _two_hop_share(world, recall, trained=True),
        "two-hop, new questions": _two_hop_share(world, recall, trained=False),
    }


def shares_by_relation(world: World, recall: Recall) -> dict[str, tuple[float, float, float]]:
    """Per relation: recall on seen, held-out, and the never-used wording."""
    table = {}
    for relation in RELATIONS:
        facts = tuple(fact for fact in world.facts if fact.relation == relation)
        figures = shares(World(facts, (), {}), recall)
        names = ("seen wordings", "held-out wordings", "never-used wording")
        table[relation] = (figures[names[0]], figures[names[1]], figures[names[2]])
    return table


def _two_hop_share(world: World, recall: Recall, trained: bool) -> float:
    questions = [q for q in world.two_hops if q.trained is trained]
    return _share(w in recall.two_hops[q.id] for q in questions for w in range(len(q.prompts())))


def _share(hits: Iterable[bool]) -> float:
    counted = list(hits)
    return sum(counted) / len(counted) if counted else 0.0
