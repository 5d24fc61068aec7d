"""The scope classifier's loss on a batch of entries and questions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from patchmgr_serac.drawing import Pair
from patchmgr_serac.equations import balanced_bce, log_in_scope, log_in_scope_of_logits, squared_distance
from patchmgr_serac.facts import Facts
from patchmgr_serac.networks import Networks
from patchmgr_serac.parameters import Negatives

_Item = TypeVar("_Item")


def router_loss(networks: Networks, pairs: Sequence[Pair], known: Facts, negatives: Negatives) -> Float[Tensor, ""]:
    """Balanced BCE of each form that the router has, added up.

    A memory answers a question by its likeliest entry, and the more entries there are, the nearer lies a wrong one.
    So with ``likeliest`` the embedding form holds every question, those in scope too, against all entries of the batch,
    and the likeliest of those whose scope it does not lie in counts as a pair out of scope. With ``pairs`` only the
    drawn pairs count. The cross-attention form would have to read every entry beside every question, so it always
    learns from the drawn pairs.

    Args:
        networks: the router's networks, in training mode.
        pairs: of a batch, each an entry and a question.
        known: what lies in whose scope.
        negatives: which pairs count as out of scope in the embedding form.
    """
    losses = []
    if networks.encoder is not None:
        losses.append(_embedding_loss(networks, pairs, known if negatives == "likeliest" else None))
    if networks.cross is not None:
        entries, questions = [pair.fact.entry for pair in pairs], [pair.question for pair in pairs]
        logits = networks.cross(networks.cross.reading.pairs(entries, questions))
        inside = torch.tensor([pair.answer is not None for pair in pairs], device=logits.device)
        losses.append(balanced_bce(*log_in_scope_of_logits(logits), inside))
    return torch.stack(losses).sum()


def _embedding_loss(networks: Networks, pairs: Sequence[Pair], known: Facts | None) -> Float[Tensor, ""]:
    """Of the drawn pairs; with what is known of scopes, of the likeliest wrong entry of each question."""
    encoder = networks.encoder
    assert encoder is not None
    entries, questions = _once([pair.fact.entry for pair in pairs]), _once([pair.question for pair in pairs])
    memory = encoder(encoder.reading.entries(list(entries)))
    queries = encoder(encoder.reading.queries(list(questions)))
    rows = torch.tensor([questions[pair.question] for pair in pairs], device=queries.device)
    columns = torch.tensor([entries[pair.fact.entry] for pair in pairs], device=queries.device)
    inside = torch.tensor([pair.answer is not None for pair in pairs], device=queries.device)
    if known is None:
        return balanced_bce(*log_in_scope(squared_distance(queries[rows], memory[columns])), inside)
    foreign = ~_in_scope(pairs, entries, questions, known).to(queries.device)
    with torch.no_grad():
        nearest = torch.cdist(queries, memory).masked_fill(~foreign, torch.inf).argmin(1)
    has_foreign = foreign.any(1)
    own = squared_distance(queries[rows[inside]], memory[columns[inside]])
    wrong = squared_distance(queries[has_foreign], memory[nearest[has_foreign]])
    d2 = torch.cat([own, wrong])
    return balanced_bce(*log_in_scope(d2), torch.arange(len(d2), device=d2.device) < len(own))


def _in_scope(
    pairs: Sequence[Pair], entries: dict[tuple[str, str], int], questions: dict[str, int], known: Facts
) -> Bool[Tensor, "questions entries"]:
    """Which questions lie in the scope of which entries."""
    facts = {pair.fact.entry: pair.fact for pair in pairs}
    found = torch.zeros(len(questions), len(entries), dtype=torch.bool)
    for entry, column in entries.items():
        for question, row in questions.items():
            found[row, column] = not known.outside_of(facts[entry], question)
    return found


def _once(items: Sequence[_Item]) -> dict[_Item, int]:
    """Each different item with its place among them."""
    return dict(zip(dict.fromkeys(items), count(), strict=False))
