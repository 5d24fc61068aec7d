"""Logits behind prompts that were handed over: in one pass, or a prompt by itself and then the answer behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import encode_all, pad_left, pad_right


def logits_behind(
    loaded: LoadedModel,
    claimed: Sequence[tuple[int, str]],
    behind: Mapping[int, Tensor],
    options: Mapping[str, Any],
    *,
    fill: int,
) -> Iterator[tuple[int, Float[Tensor, "places vocabulary"]]]:
    """For rows that one model answers, in one batch: the logits from the last token of what it is asked on.

    Args:
        loaded: who answers.
        claimed: number of each row, and what is asked.
        behind: by the number of the row, the tokens that stand behind the prompt.
        options: of the model's forward pass.
        fill: a token for padded places.
    """
    asked = encode_all(loaded.tokenizer, [text for _, text in claimed])
    said = [behind[index].tolist() for index, _ in claimed]
    if loaded.prompt_apart:
        found = _apart(loaded, asked, said, fill)
    else:
        device = loaded.model.device
        rows = [[*prompt, *answer] for prompt, answer in zip(asked, said, strict=True)]
        ids, mask = (torch.tensor(values, device=device) for values in pad_right(rows, fill))
        model: Any = loaded.model
        logits = model(input_ids=ids, attention_mask=mask, **options).logits
        found = [logits[row, len(asked[row]) - 1 : len(rows[row])] for row in range(len(rows))]
    yield from ((index, row) for (index, _), row in zip(claimed, found, strict=True))


def _apart(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], fill: int
) -> list[Float[Tensor, "places vocabulary"]]:
    """Prompts in one pass, answers in another behind them, for a model that does something where a prompt ends."""
    device = loaded.model.device
    ids, mask = (torch.tensor(part, device=device) for part in pad_left(prompts, fill))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    model: Any = loaded.model
    read = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    last = read.logits[:, -1:]
    if not any(answers):
        return list(last)
    behind, kept = (torch.tensor(part, device=device) for part in pad_right(answers, fill))
    following = model(
        input_ids=behind,
        attention_mask=torch.cat([mask, kept], dim=1),
        position_ids=mask.sum(dim=1, keepdim=True) + torch.arange(behind.shape[1], device=device),
        past_key_values=read.past_key_values,
        use_cache=True,
    ).logits
    whole = torch.cat([last, following], dim=1)
    return [row[: 1 + len(answer)] for row, answer in zip(whole, answers, strict=True)]
