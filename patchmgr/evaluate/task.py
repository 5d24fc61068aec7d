"""What a batch asks of a model, what comes back, and what both kinds of model need to answer: judging, and greed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import pad_right

MAX_LOGITS = 64 * 1024 * 1024
"""Numbers that logits may hold at a time."""


@dataclass(frozen=True)
class PromptTask:
    """What is asked behind one prompt, in tokens."""

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    """Answers to force, none twice."""
    n_free: int
    """Tokens to generate."""

    @property
    def width(self) -> int:
        """Places that a row needs at most."""
        return len(self.prompt) + max(self.n_free, *(len(answer) - 1 for answer in self.answers), 0)


@dataclass(frozen=True)
class PromptResult:
    """One entry an answer of the task, and the generated tokens, cut at the end-of-text token."""

    found: tuple[tuple[int, ...], ...]
    log_probabilities: tuple[tuple[float, ...], ...]
    free: tuple[int, ...]


def padding(loaded: LoadedModel) -> int:
    """Any token does, for padded places are masked."""
    return int(loaded.tokenizer.pad_token_id or 0)


def end_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokens that end a text."""
    end = loaded.model.generation_config.eos_token_id
    return frozenset(end if isinstance(end, list) else [end]) - {None}


def greedy(
    logits: Tensor, lengths: Sequence[int], ends: frozenset[int], following: Callable[[Tensor], Tensor]
) -> list[list[int]]:
    """Greedy tokens of each row, up to its length, cut at the end-of-text token.

    Args:
        logits: (rows, vocabulary), of each row's first token.
        lengths: of each row, at least 1.
        ends: tokens that end a text.
        following: given the tokens (rows, 1) that were chosen, the logits (rows, vocabulary) behind them.
    """
    texts: list[list[int]] = [[] for _ in lengths]
    open_rows = set(range(len(lengths)))
    while True:
        tokens = logits.argmax(dim=-1)
        for row, token in enumerate(tokens.tolist()):
            if row in open_rows:
                if token not in ends:
                    texts[row].append(token)
                if token in ends or len(texts[row]) == lengths[row]:
                    open_rows.remove(row)
        if not open_rows:
            return texts
        logits = following(tokens[:, None])


def judge(logits: Tensor, answers: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[float]]]:
    """Argmax tokens and log-probabilities in the places of answers; logits (answers, width, vocabulary)."""
    if not answers:
        return [], []
    ids = torch.tensor(pad_right(answers, 0)[0], device=logits.device)
    likely = logits.gather(2, ids[:, :, None])[:, :, 0] - logits.logsumexp(dim=2)
    best = logits.argmax(dim=2).tolist()
    cut = [len(answer) for answer in answers]
    return (
        [row[:length] for row, length in zip(best, cut, strict=True)],
        [row[:length] for row, length in zip(likely.tolist(), cut, strict=True)],
    )


def chunks(
    tasks: Sequence[PromptTask], pairs: Sequence[tuple[int, int]], batch_tokens: int
) -> Iterator[list[tuple[int, int]]]:
    """Answers of similar length, as many as fit behind their prompts."""
    behind = max(len(task.prompt) for task in tasks)
    chunk: list[tuple[int, int]] = []
    for pair in sorted(pairs, key=lambda pair: len(answer_of(tasks, pair))):
        if chunk and (len(chunk) + 1) * (behind + len(answer_of(tasks, pair))) > batch_tokens:
            yield chunk
            chunk = []
        chunk.append(pair)
    if chunk:
        yield chunk


def answer_of(tasks: Sequence[PromptTask], pair: tuple[int, int]) -> tuple[int, ...]:
    return tasks[pair[0]].answers[pair[1]]
