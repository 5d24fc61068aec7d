"""Prompts and answers as tokens, split the same way wherever a method or a metric needs them.

A decoder reads prompt and answer in one piece. In an encoder-decoder such as T5 they stay *apart*: the encoder reads
the prompt, the decoder writes the answer, and each has the tokenizer's own special tokens. So T5's answer ends with
``</s>``, which MEND and EasyEdit train, and MEND measures as well: the model must learn to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import RequestError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt and the answer after it, as one row of tokens."""

    ids: tuple[int, ...]
    n_prompt: int
    """Tokens that belong to the prompt; the others are the answer."""

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens of the prompt: where the two are apart, what the encoder reads."""
        return self.ids[: self.n_prompt]

    @property
    def answer(self) -> tuple[int, ...]:
        """The tokens of the answer."""
        return self.ids[self.n_prompt :]


def encode_answered(
    tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, *, apart: bool = False
) -> AnsweredPrompt:
    """Tokens of ``prompt`` and of `` answer`` with its one leading space, as the model would read them in one piece.

    Both are tokenised together and split where the prompt's own tokens end, because a tokenizer may mark the start of
    a text and must not do so in its middle.

    Args:
        tokenizer: the model's.
        prompt: what is asked.
        answer: what is said behind it.
        apart: for an encoder-decoder (``loaded.encoder_decoder``): each by itself, without the space and with its
            special tokens.

    Raises:
        RequestError: the answer has no token of its own.
    """
    return encode_all_answered(tokenizer, [(prompt, answer)], apart=apart)[0]


def encode_all_answered(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]], *, apart: bool = False
) -> tuple[AnsweredPrompt, ...]:
    """As :func:`encode_answered` for many pairs of prompt and answer, much faster than one by one.

    Raises:
        RequestError: an answer has no token of its own.
    """
    prompts = list(dict.fromkeys(prompt for prompt, _ in pairs))
    alone = dict(zip(prompts, encode_all(tokenizer, prompts), strict=True))
    if apart:
        answers = encode_all(tokenizer, [answer.strip() for _, answer in pairs])
        return tuple(
            _join(prompt, answer, alone[prompt], row) for (prompt, answer), row in zip(pairs, answers, strict=True)
        )
    whole = encode_all(tokenizer, [f"{prompt} {answer.strip()}" for prompt, answer in pairs])
    return tuple(_split(prompt, answer, alone[prompt], row) for (prompt, answer), row in zip(pairs, whole, strict=True))


def encode_all(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text."""
    found: list[list[int]] = tokenizer(list(texts), verbose=False)["input_ids"] if texts else []
    return found


def _split(prompt: str, answer: str, alone: Sequence[int], whole: Sequence[int]) -> AnsweredPrompt:
    n_prompt = 0
    while n_prompt < min(len(alone), len(whole)) and alone[n_prompt] == whole[n_prompt]:
        n_prompt += 1
    if n_prompt in (0, len(whole)) or not answer.strip():
        raise RequestError(f"{answer!r} has no tokens of its own behind {prompt!r}", hint="check prompt and target")
    return AnsweredPrompt(tuple(whole), n_prompt)


def _join(prompt: str, answer: str, alone: Sequence[int], said: Sequence[int]) -> AnsweredPrompt:
    if not answer.strip() or not said or not alone:
        raise RequestError(f"{answer!r} has no tokens of its own behind {prompt!r}", hint="check prompt and target")
    return AnsweredPrompt((*alone, *said), len(alone))


def pad_left(rows: Sequence[Sequence[int]], fill: int) -> tuple[list[list[int]], list[list[int]]]:
    """As :func:`pad_right`, the rows ending in one place.

    >>> pad_left([[1, 2], [3]], 0)
    ([[1, 2], [0, 3]], [[1, 1], [0, 1]])
    """
    width = max(len(row) for row in rows)
    ids = [[*[fill] * (width - len(row)), *row] for row in rows]
    return ids, [[0] * (width - len(row)) + [1] * len(row) for row in rows]


def pad_right(rows: Sequence[Sequence[int]], fill: int) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of one length with their attention masks.

    >>> pad_right([[1, 2], [3]], 0)
    ([[1, 2], [3, 0]], [[1, 1], [1, 0]])
    """
    width = max(len(row) for row in rows)
    ids = [[*row, *[fill] * (width - len(row))] for row in rows]
    return ids, [[1] * len(row) + [0] * (width - len(row)) for row in rows]
