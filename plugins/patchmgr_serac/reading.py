"""How questions and entries become tokens for the scope classifier.

Its memory side is ``input [SEP] label [SEP]``, in the cross-attention form with the question and one more ``[SEP]``
behind it. A tokenizer that has no such tokens lends its end-of-text token for both marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from patchmgr.errors import MethodError

Tokens = list[int]


class Reading:
    """Texts to tokens, by one tokenizer."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        """``config`` is that of the model that reads them; it says how long they may be.

        Raises:
            MethodError: the tokenizer has nothing to mark the parts with.
        """
        ends = (tokenizer.eos_token_id, tokenizer.bos_token_id)
        first = next((token for token in (tokenizer.cls_token_id, *ends) if token is not None), None)
        between = next((token for token in (tokenizer.sep_token_id, *ends) if token is not None), None)
        if first is None or between is None:
            raise MethodError(
                "the encoder's tokenizer has neither [SEP] nor an end-of-text token", hint="give another encoder"
            )
        self.tokenizer = tokenizer
        self._first, self._between = int(first), int(between)
        self._limit = min(int(getattr(config, "max_position_embeddings", 512)), int(tokenizer.model_max_length))

    def queries(self, texts: Sequence[str]) -> list[Tokens]:
        """Questions by themselves."""
        return [self._joined([ids]) for ids in self._alone(texts)]

    def entries(self, entries: Sequence[tuple[str, str]]) -> list[Tokens]:
        """The memory sides of entries: (prompt, label) each."""
        prompts, labels = self._sides(entries)
        return [self._joined(list(parts)) for parts in zip(prompts, labels, strict=True)]

    def pairs(self, entries: Sequence[tuple[str, str]], texts: Sequence[str]) -> list[Tokens]:
        """Each entry with the question beside it."""
        prompts, labels = self._sides(entries)
        return [self._joined(list(parts)) for parts in zip(prompts, labels, self._alone(texts), strict=True)]

    def _sides(self, entries: Sequence[tuple[str, str]]) -> tuple[list[Tokens], list[Tokens]]:
        return self._alone([prompt for prompt, _ in entries]), self._alone([f" {label}" for _, label in entries])

    def _alone(self, texts: Sequence[str]) -> list[Tokens]:
        """Each text's own tokens, without special ones."""
        different = list(dict.fromkeys(texts))
        if not different:
            return []
        found = self.tokenizer(different, add_special_tokens=False, verbose=False)["input_ids"]
        rows = dict(zip(different, found, strict=True))
        return [rows[text] for text in texts]

    def _joined(self, parts: list[Tokens]) -> Tokens:
        row = [self._first]
        for part in shortened(parts, self._limit - 1 - len(parts)):
            row += [*part, self._between]
        return row


def shortened(parts: Sequence[Tokens], room: int) -> list[Tokens]:
    """Parts that fit together: the longest loses its beginning until they do, so that none vanishes.

    >>> shortened([[1, 2, 3, 4], [5], [6, 7, 8]], 5)
    [[3, 4], [5], [7, 8]]
    """
    sizes = [len(part) for part in parts]
    while sum(sizes) > room:
        sizes[sizes.index(max(sizes))] -= 1
    return [list(part[len(part) - size :]) for part, size in zip(parts, sizes, strict=True)]
