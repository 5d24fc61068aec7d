"""What comes back from a model that answers in the base's place: its tokens as the base would write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for a character of which bytes are still to come."""


@dataclass(frozen=True)
class Translation:
    """Tokens of one tokenizer as those of another, by way of the text."""

    spoken: PreTrainedTokenizerBase
    wanted: PreTrainedTokenizerBase

    def text(self, ids: Sequence[int]) -> str:
        """What the tokens say."""
        return str(self.spoken.decode(list(ids), skip_special_tokens=True))

    def tokens(self, text: str) -> list[int]:
        """A text inside an answer in the wanted tokens."""
        found: list[int] = self.wanted(text, add_special_tokens=False)["input_ids"] if text else []
        return found

    def whole(self, ids: Sequence[int]) -> list[int]:
        """A whole answer."""
        return self.tokens(self.text(ids))


class HandedOver:
    """Stands before a streamer: it sees the prompt as the user wrote it, and the answer in the base's tokens.

    Another model's tokens are shown by whole words, since how a word is written in tokens hangs on all of it.

    Args:
        streamer: as transformers has it.
        prompt: of the user; None: what ``generate`` begins with is shown as it is, as in an encoder-decoder.
        translation: of the answer; None: it is in the base's tokens.
    """

    def __init__(self, streamer: Any, prompt: Int[Tensor, "1 width"] | None, translation: Translation | None) -> None:
        self._streamer = streamer
        self._prompt = prompt
        self._translation = translation
        self._ids: list[int] = []
        self._shown = 0

    def put(self, value: Tensor) -> None:
        """What ``generate`` gives: first the prompt, which is another than the user's, then token by token."""
        if self._prompt is not None:
            self._streamer.put(self._prompt.cpu())
            self._prompt = None
        elif self._translation is None:
            self._streamer.put(value)
        else:
            self._ids += value.flatten().tolist()
            self._show(final=False)

    def end(self) -> None:
        """The answer is whole."""
        if self._translation is not None:
            self._show(final=True)
        self._streamer.end()

    def _show(self, *, final: bool) -> None:
        assert self._translation is not None
        text = self._translation.text(self._ids)
        end = len(text) if final else max(text.rfind(" "), self._shown)
        if end > self._shown and (final or _UNFINISHED not in text[self._shown : end]):
            for token in self._translation.tokens(text[self._shown : end]):
                self._streamer.put(torch.tensor([token]))
            self._shown = end
