"""One batch through a model: every prompt once, then its answers and its continuation from the kept keys and values.

Prompts are padded on the left, so that all end in one place and only that place's logits are needed; answers are padded
on the right behind them. Padding is masked and positions count real tokens only, so it changes nothing but the order in
which zeros are added.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from patchmgr.evaluate.task import PromptResult, PromptTask, answer_of, chunks, end_tokens, greedy, judge, padding
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import pad_left, pad_right


@dataclass
class _Read:
    """Prompts that were read: logits of their last places, mask, and keys and values where anything follows."""

    logits: Tensor
    """(rows, vocabulary), float32."""
    mask: Tensor
    """(rows, width)."""
    cache: Any


@torch.no_grad()
def run_prompts(loaded: LoadedModel, tasks: Sequence[PromptTask], *, batch_tokens: int) -> list[PromptResult]:
    """The results of one batch of prompts.

    Args:
        loaded: the state to ask.
        tasks: prompts of similar length, which fit into memory together.
        batch_tokens: bounds rows times width when answers are forced.
    """
    longer = any(len(answer) > 1 for task in tasks for answer in task.answers)
    read = _read_prompts(loaded, tasks, keep=longer or any(task.n_free for task in tasks))
    first = [(row, index) for row, task in enumerate(tasks) for index in range(len(task.answers))]
    found: dict[tuple[int, int], list[int]] = {}
    log_probabilities: dict[tuple[int, int], list[float]] = {}
    rows = torch.tensor([row for row, _ in first], dtype=torch.long, device=read.logits.device)
    tokens = [[tasks[row].answers[index][0]] for row, index in first]
    for pair, best, value in zip(first, *judge(read.logits[rows][:, None], tokens), strict=True):
        found[pair], log_probabilities[pair] = best, value
    for pairs in chunks(tasks, [pair for pair in first if len(answer_of(tasks, pair)) > 1], batch_tokens):
        logits = _force(loaded, read, [row for row, _ in pairs], [answer_of(tasks, pair)[:-1] for pair in pairs])
        later = [answer_of(tasks, pair)[1:] for pair in pairs]
        for pair, best, value in zip(pairs, *judge(logits, later), strict=True):
            found[pair] += best
            log_probabilities[pair] += value
    free = _continue(loaded, read, [task.n_free for task in tasks])
    return [
        PromptResult(
            tuple(tuple(found[row, index]) for index in range(len(task.answers))),
            tuple(tuple(log_probabilities[row, index]) for index in range(len(task.answers))),
            tuple(free[row]),
        )
        for row, task in enumerate(tasks)
    ]


@torch.no_grad()
def run_windows(loaded: LoadedModel, windows: Sequence[Sequence[int]]) -> list[float]:
    """The negative log-likelihood in nats of each window of tokens, the first token not counted."""
    device = loaded.model.device
    ids, mask = (torch.tensor(part, device=device) for part in pad_right(windows, padding(loaded)))
    logits = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    totals = []
    for row, kept, after in zip(logits, mask[:, 1:].bool(), ids[:, 1:], strict=True):
        of_row = row[kept].float()
        likely = of_row.gather(1, after[kept][:, None])[:, 0] - of_row.logsumexp(dim=1)
        totals.append(-float(likely.double().sum()))
    return totals


def _read_prompts(loaded: LoadedModel, tasks: Sequence[PromptTask], *, keep: bool) -> _Read:
    device = loaded.model.device
    ids, mask = (
        torch.tensor(part, device=device) for part in pad_left([task.prompt for task in tasks], padding(loaded))
    )
    out = loaded.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=keep,
        **_last_only(loaded),
    )
    return _Read(out.logits[:, -1].float(), mask, out.past_key_values if keep else None)


def _force(loaded: LoadedModel, read: _Read, rows: Sequence[int], answers: Sequence[Sequence[int]]) -> Tensor:
    """Logits (answers, width, vocabulary) at the tokens of answers that follow prompts read before."""
    device = read.logits.device
    chosen = torch.tensor(rows, dtype=torch.long, device=device)
    ids, mask = (torch.tensor(part, device=device) for part in pad_right(answers, padding(loaded)))
    behind = read.mask[chosen]
    positions = behind.sum(dim=1, keepdim=True) + torch.arange(ids.shape[1], device=device)
    logits: Tensor = loaded.model(
        input_ids=ids,
        attention_mask=torch.cat([behind, mask], dim=1),
        position_ids=positions,
        past_key_values=_copied(read.cache, chosen),
        use_cache=True,
    ).logits
    return logits.float()


def _continue(loaded: LoadedModel, read: _Read, lengths: Sequence[int]) -> list[list[int]]:
    """Greedy tokens behind each prompt, up to its length, cut at the end-of-text token. Uses the cache up."""
    texts: list[list[int]] = [[] for _ in lengths]
    wanted = [row for row, length in enumerate(lengths) if length]
    if not wanted:
        return texts
    rows = torch.tensor(wanted, dtype=torch.long, device=read.logits.device)
    cache, mask = _copied(read.cache, rows), read.mask[rows]

    def following(tokens: Tensor) -> Tensor:
        nonlocal mask
        mask = torch.cat([mask, mask.new_ones(len(wanted), 1)], dim=1)
        logits: Tensor = loaded.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=mask.sum(dim=1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        ).logits
        return logits[:, -1].float()

    found = greedy(read.logits[rows], [lengths[row] for row in wanted], end_tokens(loaded), following)
    for row, text in zip(wanted, found, strict=True):
        texts[row] = text
    return texts


def _copied(cache: Any, rows: Tensor) -> Any:
    """Some rows of a cache of keys and values; the cache itself stays as it is, for it only ever gets new tensors."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    selected.batch_select_indices(rows.cpu())  # the layers of a spread model lie on several devices
    return selected


def _last_only(loaded: LoadedModel) -> dict[str, int]:
    """Most models can leave out the logits of other places, which are the greater part of the work for small ones."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(loaded.model.forward).parameters else {}
