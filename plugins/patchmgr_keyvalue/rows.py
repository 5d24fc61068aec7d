"""Texts as rows of tokens: where the subject ends, and which positions say the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.tokens import encode_all_answered, pad_right
from patchmgr.request import SUBJECT_MARK, EditRequest

PLAIN = SUBJECT_MARK
"""The template that adds nothing."""


@dataclass(frozen=True)
class Row:
    """One text as tokens."""

    ids: tuple[int, ...]
    subject: int
    """Position of the subject's last token."""
    targets: tuple[int, ...] = ()
    """Tokens that the model shall say; the row ends before the last of them."""

    @property
    def places(self) -> range:
        """Positions whose logits predict :attr:`targets`."""
        return range(len(self.ids) - len(self.targets), len(self.ids))

    @property
    def n_tail(self) -> int:
        """Tokens from the subject's last one on."""
        return len(self.ids) - self.subject


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, on the device of the model."""

    input_ids: Int[Tensor, "rows width"]
    attention_mask: Int[Tensor, "rows width"]

    def inputs(self) -> dict[str, Any]:
        """Arguments for the model's forward pass, with no cache kept."""
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask, "use_cache": False}


def subject_of(request: EditRequest) -> tuple[str, int]:
    """The subject and the offset just behind it in the request's text.

    Raises:
        RequestError: the request has none; it is named.
    """
    if request.subject is None or request.subject_end is None:
        name = f"request {request.id!r}" if request.id else f"the request {request.text!r}"
        raise RequestError(f"{name} has no subject, which this method needs", hint="add the field subject")
    return request.subject, request.subject_end


def prompt_rows(tokenizer: Any, pairs: Sequence[tuple[str, EditRequest]]) -> list[Row]:
    """Prompts within templates, each cut behind the subject's last token: all that a key depends on."""
    ends = [template.index(PLAIN) + subject_of(request)[1] for template, request in pairs]
    texts = [template.replace(PLAIN, request.text) for template, request in pairs]
    return subject_rows(tokenizer, list(zip(texts, ends, strict=True)))


def subject_rows(tokenizer: Any, texts: Sequence[tuple[str, int]]) -> list[Row]:
    """Texts, each cut behind the token that holds the character before its offset."""
    return [Row(tuple(ids[: subject + 1]), subject) for ids, subject in _locate(tokenizer, texts)]


def target_rows(tokenizer: Any, pairs: Sequence[tuple[str, EditRequest]]) -> list[Row]:
    """Prompts within templates and the target behind each, with one leading space, less its last token.

    Raises:
        RequestError: a request has no subject, or its end and the target are one token.
    """
    ends = [template.index(PLAIN) + subject_of(request)[1] for template, request in pairs]
    texts = [template.replace(PLAIN, request.text) for template, request in pairs]
    targets = [request.target_new for _, request in pairs]
    answered = encode_all_answered(tokenizer, list(zip(texts, targets, strict=True)))
    whole = [f"{text} {target.strip()}" for text, target in zip(texts, targets, strict=True)]
    rows = []
    for text, row, (_, subject) in zip(
        texts, answered, _locate(tokenizer, list(zip(whole, ends, strict=True))), strict=True
    ):
        if subject >= row.n_prompt:
            raise RequestError(
                f"the tokenizer joins the subject's end with the target in {text!r}", hint="end the prompt with a word"
            )
        rows.append(Row(row.ids[:-1], subject, row.answer))
    return rows


def pad(model: nn.Module, rows: Sequence[Row]) -> Batch:
    """Rows as one batch.

    Raises:
        RequestError: a row is longer than the model can read.
    """
    config: Any = model.config
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    longest = max(len(row.ids) for row in rows)
    if limit is not None and longest > limit:
        raise RequestError(
            f"prompt, context and target take {longest} tokens, the model reads {limit}",
            hint="shorten the prompt or the contexts",
        )
    # Padding stands behind every position that is read and causal attention never looks ahead, so any token will do.
    ids, mask = pad_right([row.ids for row in rows], 0)
    device = next(model.parameters()).device
    return Batch(torch.tensor(ids, device=device), torch.tensor(mask, device=device))


def _locate(tokenizer: Any, texts: Sequence[tuple[str, int]]) -> list[tuple[list[int], int]]:
    """Tokens of each text and the last one among them that holds the character before its offset."""
    if not tokenizer.is_fast:
        raise MethodError(
            f"{type(tokenizer).__name__} does not say where in the text a token stands",
            hint="a fast tokenizer (tokenizer.json) is needed",
        )
    encoded = tokenizer([text for text, _ in texts], return_offsets_mapping=True)
    found = []
    for (text, end), ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        holding = [index for index, (start, stop) in enumerate(offsets) if start <= end - 1 < stop]
        if not holding:
            raise RequestError(f"no token of {text!r} holds the end of the subject", hint="check subject and prompt")
        found.append((ids, holding[-1]))
    return found
