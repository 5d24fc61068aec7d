"""Texts as rows of tokens: where the subject ends, and which positions say the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.tokens import encode_answered, pad_right
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


def prompt_row(tokenizer: Any, template: str, request: EditRequest) -> Row:
    """The prompt within a template, cut behind the subject's last token: all that a key depends on."""
    _, subject_end = subject_of(request)
    return subject_row(tokenizer, template.replace(PLAIN, request.text), template.index(PLAIN) + subject_end)


def subject_row(tokenizer: Any, text: str, subject_end: int) -> Row:
    """``text`` cut behind the token that holds the character before ``subject_end``."""
    ids, subject = _locate(tokenizer, text, subject_end)
    return Row(tuple(ids[: subject + 1]), subject)


def target_row(tokenizer: Any, template: str, request: EditRequest) -> Row:
    """The prompt within a template and the target behind it, with one leading space, less its last token."""
    _, subject_end = subject_of(request)
    text = template.replace(PLAIN, request.text)
    answered = encode_answered(tokenizer, text, request.target_new)
    _, subject = _locate(tokenizer, f"{text} {request.target_new.strip()}", template.index(PLAIN) + subject_end)
    if subject >= answered.n_prompt:
        raise RequestError(
            f"the tokenizer joins the subject's end with the target in {text!r}", hint="end the prompt with a word"
        )
    return Row(answered.ids[:-1], subject, answered.answer)


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


def _locate(tokenizer: Any, text: str, subject_end: int) -> tuple[list[int], int]:
    """Tokens of ``text`` and the last one among them that holds the subject's last character."""
    if not tokenizer.is_fast:
        raise MethodError(
            f"{type(tokenizer).__name__} does not say where in the text a token stands",
            hint="a fast tokenizer (tokenizer.json) is needed",
        )
    encoded = tokenizer(text, return_offsets_mapping=True)
    last = subject_end - 1
    holding = [index for index, (start, end) in enumerate(encoded["offset_mapping"]) if start <= last < end]
    if not holding:
        raise RequestError(f"no token of {text!r} holds the end of the subject", hint="check subject and prompt")
    return encoded["input_ids"], holding[-1]
