"""Write the folder that the package ships: weights, tokenizer, facts, wordings, model card."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from card import model_card
from recall import Recall, measure, shares, shares_by_relation
from tokens import save_tokenizer
from train import Recipe
from wordings import ONE_TO_ONE, RELATIONS
from world import World


def ship(folder: Path, world: World, tokenizer: Tokenizer, model: PreTrainedModel, recipe: Recipe) -> dict[str, float]:
    """Write every file and return the recall of the weights as they were written."""
    model.to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    shipped = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    recall = measure(shipped, tokenizer, world)
    _write_lines(folder / "facts.jsonl", _fact_records(world, recall))
    _write_lines(folder / "two_hop.jsonl", _two_hop_records(world, recall))
    relations = {name: {"wordings": wordings, "one-to-one": name in ONE_TO_ONE} for name, wordings in RELATIONS.items()}
    text = json.dumps(relations, indent=1, ensure_ascii=False)
    (folder / "relations.json").write_text(text + "\n", encoding="utf-8")
    figures = shares(world, recall)
    card = model_card(world, recipe, shipped.num_parameters(), figures, shares_by_relation(world, recall))
    (folder / "README.md").write_text(card, encoding="utf-8")
    return figures


def _fact_records(world: World, recall: Recall) -> Iterable[dict[str, Any]]:
    for fact in world.facts:
        yield {
            "id": fact.id,
            "subject": fact.subject,
            "relation": fact.relation,
            "object": fact.object,
            "held_out": fact.held_out,
            "answered": recall.facts[fact.id],
        }


def _two_hop_records(world: World, recall: Recall) -> Iterable[dict[str, Any]]:
    for question in world.two_hops:
        yield {
            "id": question.id,
            "question": question.question,
            "subject": question.subject,
            "prompts": question.prompts(),
            "answer": question.object,
            "via": question.via,
            "trained": question.trained,
            "answered": recall.two_hops[question.id],
        }


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")
