"""One batch through an encoder-decoder: every prompt once through the encoder, its answers through the decoder.

Prompts and answers are padded on the right. The encoder's padding is masked; the decoder never looks ahead, so what
stands behind an answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from patchmgr.evaluate.task import PromptResult, PromptTask, answer_of, chunks, end_tokens, greedy, judge, padding
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import pad_right


@dataclass(frozen=True)
class _Read:
    """Prompts that the encoder has read."""

    hidden: Tensor
    """(rows, width, hidden size)."""
    mask: Tensor
    """(rows, width)."""

    def rows(self, rows: Sequence[int]) -> dict[str, object]:
        """Some of them, as arguments of the forward pass."""
        chosen = torch.tensor(rows, dtype=torch.long, device=self.mask.device)
        return {
            "encoder_outputs": BaseModelOutput(last_hidden_state=self.hidden[chosen]),
            "attention_mask": self.mask[chosen],
        }


@torch.no_grad()
def run_seq2seq(loaded: LoadedModel, tasks: Sequence[PromptTask], *, batch_tokens: int) -> list[PromptResult]:
    """The results of one batch of prompts, as :func:`patchmgr.evaluate.forward.run_prompts` gives them.

    Args:
        loaded: an encoder-decoder.
        tasks: prompts of similar length, which fit into memory together.
        batch_tokens: bounds rows times width when answers are forced.
    """
    read = _read_prompts(loaded, tasks)
    found: dict[tuple[int, int], tuple[list[int], list[float]]] = {}
    pairs = [(row, index) for row, task in enumerate(tasks) for index in range(len(task.answers))]
    for some in chunks(tasks, pairs, batch_tokens):
        answers = [answer_of(tasks, pair) for pair in some]
        logits = _force(loaded, read, [row for row, _ in some], answers)
        found.update(zip(some, zip(*judge(logits, answers), strict=True), strict=True))
    free = _write(loaded, read, [task.n_free for task in tasks])
    return [
        PromptResult(
            tuple(tuple(found[row, index][0]) for index in range(len(task.answers))),
            tuple(tuple(found[row, index][1]) for index in range(len(task.answers))),
            tuple(free[row]),
        )
        for row, task in enumerate(tasks)
    ]


def decoder_start(loaded: LoadedModel) -> int:
    """The token that the decoder begins with, before the first of the answer: T5's is that of padding."""
    start = loaded.model.generation_config.decoder_start_token_id
    if start is None:
        start = getattr(loaded.model.config, "decoder_start_token_id", None)
    return padding(loaded) if start is None else int(start)


def _read_prompts(loaded: LoadedModel, tasks: Sequence[PromptTask]) -> _Read:
    device = loaded.model.device
    ids, mask = (
        torch.tensor(part, device=device) for part in pad_right([task.prompt for task in tasks], padding(loaded))
    )
    return _Read(loaded.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


def _force(loaded: LoadedModel, read: _Read, rows: Sequence[int], answers: Sequence[Sequence[int]]) -> Tensor:
    """Logits (answers, width, vocabulary) at the tokens of answers to prompts read before."""
    start = decoder_start(loaded)
    ids, _ = pad_right([[start, *answer[:-1]] for answer in answers], padding(loaded))
    decoder_ids = torch.tensor(ids, device=read.mask.device)
    logits: Tensor = loaded.model(**read.rows(rows), decoder_input_ids=decoder_ids, use_cache=False).logits
    return logits.float()


def _write(loaded: LoadedModel, read: _Read, lengths: Sequence[int]) -> list[list[int]]:
    """Greedy answers to each prompt, up to its length, cut at the end-of-text token."""
    texts: list[list[int]] = [[] for _ in lengths]
    wanted = [row for row, length in enumerate(lengths) if length]
    if not wanted:
        return texts
    prompts, cache = read.rows(wanted), None

    def following(tokens: Tensor) -> Tensor:
        nonlocal cache
        out = loaded.model(**prompts, decoder_input_ids=tokens, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        logits: Tensor = out.logits[:, -1].float()
        return logits

    start = torch.full((len(wanted), 1), decoder_start(loaded), device=read.mask.device)
    found = greedy(following(start), [lengths[row] for row in wanted], end_tokens(loaded), following)
    for row, text in zip(wanted, found, strict=True):
        texts[row] = text
    return texts
