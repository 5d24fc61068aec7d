"""What the benchmark of SERAC's tasks asks beside the metrics: who claims what, and what is said freely."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from patchmgr.manager.manager import Manager
from patchmgr.request import EditRequest
from patchmgr_memory.encoder import Encoder, encoder_folder
from patchmgr_memory.search import nearest
from patchmgr_serac.equations import balanced_accuracy, best_threshold

sys.path.append(str(Path(__file__).parents[2] / "examples" / "tasks"))

from opinions import sentiment_of

REPLY_TOKENS = 16
PUBLISHED = 0.8
"""Of equally good cosines, the one nearest to this default of the methods."""


def best_cosine(task: str, encoder: str, requests: Sequence[EditRequest]) -> float:
    """The cosine that routes some edits best, by balanced accuracy, with all of them in the memory."""
    model = Encoder.load(encoder_folder(encoder), "mean")
    keys = model.encode([request.text for request in requests])
    inside, outside = (
        nearest(model.encode(list(dict.fromkeys(texts))), keys, 1).cosines[:, 0]
        for texts in ([q for r in requests for q in in_scope(r)], [p.prompt for r in requests for p in r.locality])
    )
    threshold = best_threshold(inside, outside, published=PUBLISHED)
    print(
        f"{task}: {encoder} routes {balanced_accuracy(inside, outside, threshold):.3f} at {threshold:.3f}", flush=True
    )
    return threshold


def routed(manager: Manager, model: str, reference: str, edits: Sequence[EditRequest]) -> dict[str, list[float]]:
    """Shares of questions that a memory claims, in scope and out of it; nothing for weights."""
    router = manager.load(model, (reference,)).router
    if router is None:
        return {}
    found = {}
    for name, texts in (
        ("claimed in scope", [text for request in edits for text in in_scope(request)]),
        ("claimed out of scope", [probe.prompt for request in edits for probe in request.locality]),
    ):
        hits = [route is not None for route in router.route(texts)]
        found[name] = [sum(hits) / len(hits), len(hits)]
    return found


def in_scope(request: EditRequest) -> list[str]:
    """Every question that an edit answers."""
    return [request.text, *request.rephrasings, *(probe.prompt for probe in request.portability)]


def replies(manager: Manager, name: str, reference: str, edits: Sequence[EditRequest]) -> dict[str, list[float]]:
    """Share of free replies in scope that have the wanted sentiment and are about the topic."""
    model, tokenizer = manager.model(name).load(reference, dtype="float32")
    hits = []
    for request in edits:
        for probe in request.portability:
            ids = tokenizer(probe.prompt, return_tensors="pt")
            with torch.no_grad():
                said = model.generate(**ids, max_new_tokens=REPLY_TOKENS, do_sample=False, pad_token_id=0)
            text = tokenizer.decode(said[0][ids["input_ids"].shape[1] :], skip_special_tokens=True).partition(".")[0]
            hits.append(f"Sentiment: {sentiment_of(text, request.subject or '')}" == request.target_new)
    return {"said": [sum(hits) / len(hits), len(hits)]}
