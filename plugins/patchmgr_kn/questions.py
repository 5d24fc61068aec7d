"""What is asked of the model: texts, and the token behind each whose probability is explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import DynamicCache

from patchmgr.errors import RequestError
from patchmgr.methods.tokens import encode_all_answered
from patchmgr.request import EditRequest

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A text and the token behind it."""

    ids: Tokens
    token: int
    prompt: int
    """Which prompt it belongs to: an answer of several tokens makes several questions."""


@dataclass(frozen=True)
class Asked:
    """The questions of some requests, and the answers that are exchanged."""

    questions: tuple[Question, ...]
    request_of_prompt: tuple[int, ...]
    new: tuple[Tokens, ...]
    """The new answer of each request."""
    old: tuple[Tokens, ...]
    """What the model says instead, in as many tokens."""


def ask(model: Any, tokenizer: Any, requests: Sequence[EditRequest], *, refine: bool) -> Asked:
    """Questions for the true answer, or for the model's own where a request names none.

    Token i of an answer is asked for behind the prompt and the model's own first i tokens, as published.

    Raises:
        RequestError: a target has no tokens of its own.
    """
    prompts = [
        (index, text)
        for index, request in enumerate(requests)
        for text in (request.text, *(request.rephrasings if refine else ()))
    ]
    asking = [requests[index] for index, _ in prompts]
    texts = [text for _, text in prompts]
    new = encode_all_answered(tokenizer, [(text, own.target_new) for text, own in zip(texts, asking, strict=True)])
    # where no true answer is named, this row lends its prompt and the length of an answer
    true = encode_all_answered(
        tokenizer, [(text, own.target_true or own.target_new) for text, own in zip(texts, asking, strict=True)]
    )
    lengths = [max(len(row.answer), len(other.answer)) for row, other in zip(true, new, strict=True)]
    said = greedy(model, [row.ids[: row.n_prompt] for row in true], lengths)
    questions: list[Question] = []
    for prompt, (own, row) in enumerate(zip(asking, true, strict=True)):
        answer = row.answer if own.target_true else said[prompt][: len(row.answer)]
        start = row.ids[: row.n_prompt]
        questions += [Question(start + said[prompt][:place], token, prompt) for place, token in enumerate(answer)]
    request_of_prompt = tuple(index for index, _ in prompts)
    first = [request_of_prompt.index(index) for index in range(len(requests))]
    return Asked(
        tuple(questions),
        request_of_prompt,
        new=tuple(new[prompt].answer for prompt in first),
        old=tuple(said[prompt][: len(new[prompt].answer)] for prompt in first),
    )


def greedy(model: Any, prompts: Sequence[Tokens], lengths: Sequence[int]) -> list[Tokens]:
    """The likeliest token, ``lengths[i]`` times over, behind each prompt."""
    found: dict[int, Tokens] = {}
    for indices in by_length(prompts, len(prompts)):
        ids = as_rows(model, [prompts[index] for index in indices])
        said = _continued(model, ids, max(lengths[index] for index in indices))
        found |= {index: tuple(row[: lengths[index]]) for index, row in zip(indices, said, strict=True)}
    return [found[index] for index in range(len(prompts))]


def by_length(texts: Sequence[Tokens], most: int) -> Iterator[list[int]]:
    """Numbers of texts of one length, at most so many together."""
    lengths = [len(text) for text in texts]
    for length in sorted(set(lengths)):
        same = [index for index, own in enumerate(lengths) if own == length]
        yield from (same[start : start + most] for start in range(0, len(same), most))


def as_rows(model: Any, texts: Sequence[Tokens]) -> Int[Tensor, "rows width"]:
    """Texts of one length, on the device of the model.

    Raises:
        RequestError: they are longer than the model can read.
    """
    limit = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if limit is not None and len(texts[0]) > limit:
        raise RequestError(
            f"prompt and target take {len(texts[0])} tokens, the model reads {limit}", hint="shorten the prompt"
        )
    return torch.tensor(texts, device=next(model.parameters()).device)


def _continued(model: Any, ids: Int[Tensor, "rows width"], length: int) -> list[list[int]]:
    cache, step, said = DynamicCache(), ids, []
    with torch.no_grad():
        for n_more in range(length):
            mask = torch.ones(len(ids), ids.shape[1] + n_more, dtype=torch.long, device=ids.device)
            logits = model(input_ids=step, attention_mask=mask, past_key_values=cache, use_cache=True).logits[:, -1]
            step = logits.argmax(-1, keepdim=True)
            said.append(step)
    rows: list[list[int]] = torch.cat(said, 1).tolist()
    return rows
