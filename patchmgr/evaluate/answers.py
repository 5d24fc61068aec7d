"""What a model answers, in batches: teacher-forced next tokens, and free greedy generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from patchmgr.errors import RequestError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import AnsweredPrompt, encode_answered, pad_right

if TYPE_CHECKING:
    from patchmgr.request import Probe

BATCH = 64


def forced_tokens(loaded: LoadedModel, probes: Sequence[Probe]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each probe: the tokens of its target, and the tokens that the model finds likeliest in their places.

    Protocol ``tf``: at each place the model has read the prompt and the true tokens of the target before it.

    Raises:
        RequestError: a target without tokens, or a row longer than the model can read.
    """
    rows = [encode_answered(loaded.tokenizer, probe.prompt, probe.target) for probe in probes]
    for probe, row in zip(probes, rows, strict=True):
        _check_length(loaded, probe.prompt, len(row.ids))
    answers: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())] * len(rows)
    for batch in _by_length([len(row.ids) for row in rows]):
        for index, found in zip(batch, _argmax_answers(loaded, [rows[i] for i in batch]), strict=True):
            answers[index] = (rows[index].answer, found)
    return answers


def greedy_texts(loaded: LoadedModel, prompts: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """Free greedy continuations, protocol ``gen``.

    Args:
        loaded: the state to ask.
        prompts: one a row; rows of equal token count are run together, so no padding enters the model.
        lengths: how many tokens to generate for each.

    Raises:
        RequestError: a prompt with its answer is longer than the model can read.
    """
    rows = [loaded.tokenizer(prompt, verbose=False)["input_ids"] for prompt in prompts]
    for prompt, row, length in zip(prompts, rows, lengths, strict=True):
        _check_length(loaded, prompt, len(row) + length)
    texts = [""] * len(rows)
    for batch in _by_length([len(row) for row in rows], equal=True):
        ids = torch.tensor([rows[i] for i in batch], device=loaded.model.device)
        count = max(lengths[i] for i in batch)
        for index, new in zip(batch, generate_ids(loaded, ids, count), strict=True):
            texts[index] = str(loaded.tokenizer.decode(new[: lengths[index]], skip_special_tokens=True))
    return texts


@torch.no_grad()
def generate_ids(loaded: LoadedModel, ids: torch.Tensor, count: int) -> list[list[int]]:
    """Up to ``count`` greedy tokens behind each row of equal length, cut at the end-of-text token."""
    end = loaded.model.generation_config.eos_token_id
    made = loaded.model.generate(  # type: ignore[operator]  # its stubs take generate for a buffer
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        do_sample=False,
        num_beams=1,
        pad_token_id=_padding(loaded),
        eos_token_id=end,
    )
    ends = set(end if isinstance(end, list) else [end]) - {None}
    rows = []
    for row in made[:, ids.shape[1] :].tolist():
        stop = next((i for i, token in enumerate(row) if token in ends), len(row))
        rows.append(row[:stop])
    return rows


@torch.no_grad()
def _argmax_answers(loaded: LoadedModel, rows: Sequence[AnsweredPrompt]) -> list[tuple[int, ...]]:
    ids, mask = pad_right([row.ids for row in rows], _padding(loaded))
    device = loaded.model.device
    logits = loaded.model(
        input_ids=torch.tensor(ids, device=device), attention_mask=torch.tensor(mask, device=device), use_cache=False
    ).logits
    best = logits.argmax(dim=-1).tolist()
    return [tuple(best[i][row.n_prompt - 1 : len(row.ids) - 1]) for i, row in enumerate(rows)]


def _check_length(loaded: LoadedModel, prompt: str, n_tokens: int) -> None:
    limit = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if limit is not None and n_tokens > limit:
        raise RequestError(
            f"{prompt[:40]!r}… takes {n_tokens} tokens with its answer, the model reads {limit}", hint="shorten it"
        )


def _padding(loaded: LoadedModel) -> int:
    """Any token does, for padded places are masked."""
    return int(loaded.tokenizer.pad_token_id or 0)


def _by_length(lengths: Sequence[int], *, equal: bool = False) -> Iterator[list[int]]:
    """Indices in batches of similar (or equal) length."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == BATCH or (equal and lengths[index] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
