"""Logits behind prompts that were handed over, and models told where prompts end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import UsageError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import encode_all, pad_right


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
        options: of the model's forward pass, see :func:`check_options`.
        fill: a token for padded places.
    """
    asked = encode_all(loaded.tokenizer, [text for _, text in claimed])
    rows = [[*prompt, *behind[index].tolist()] for prompt, (index, _) in zip(asked, claimed, strict=True)]
    device = loaded.model.device
    ids, mask = (torch.tensor(values, device=device) for values in pad_right(rows, fill))
    model: Any = loaded.model
    with told_ends(loaded, [len(prompt) - 1 for prompt in asked]):
        logits = model(input_ids=ids, attention_mask=mask, **options).logits
    for row, (index, _) in enumerate(claimed):
        yield index, logits[row, len(asked[row]) - 1 : len(rows[row])]


def told_ends(loaded: LoadedModel, columns: Sequence[int]) -> AbstractContextManager[None]:
    """Within, a model that acts where prompts end knows where they do.

    Args:
        loaded: who answers.
        columns: of each row the prompt's last token, counted from the first of the row, padding included; or one for
            all rows, however many there are.
    """
    return nullcontext() if loaded.prompt_ends is None else loaded.prompt_ends(columns)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what cannot be had of rows that are answered by others: all but logits.

    Raises:
        UsageError: names the option.
    """
    for name, value in options.items():
        plain = (None, True) if name == "return_dict" else (None, False, 0)
        if not any(value is each for each in plain):
            raise UsageError(
                f"{name}={value!r} cannot be had where a memory claims a row, which other models may answer",
                hint="leave it out, or use generate",
            )
