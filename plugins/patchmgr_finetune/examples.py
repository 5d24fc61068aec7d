"""Edits as training examples: what the model reads, where its answer is read, and what it shall say there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from patchmgr.errors import RequestError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import encode_all_answered, pad_right
from patchmgr.request import EditRequest


@dataclass(frozen=True)
class Example:
    """One edit as tokens."""

    ids: tuple[int, ...]
    """What the decoder reads."""
    places: tuple[int, ...]
    """Positions in ``ids`` whose logits are read, one for each target."""
    targets: tuple[int, ...]
    """Tokens that the model shall say."""
    prompt: tuple[int, ...] = ()
    """What the encoder reads, where there is one; otherwise the prompt begins ``ids``."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples padded on the right, on the device of the model."""

    inputs: dict[str, Any]
    """Arguments of the forward pass."""
    flat_places: Int[Tensor, " places"]
    """Where logits are read, each place once, counted over rows and columns of the decoder's input."""
    at: Int[Tensor, " tokens"]
    """Of every target token, the index of its place."""
    targets: Int[Tensor, " tokens"]
    weights: Float[Tensor, " tokens"]
    """1 / (examples · targets of the example)."""
    n_examples: int


def examples(loaded: LoadedModel, requests: Sequence[EditRequest], *, last_place: bool = False) -> tuple[Example, ...]:
    """One for every request, in their order.

    Args:
        loaded: the model; an encoder-decoder's answer stands behind a start token and ends with ``</s>``.
        requests: the edits.
        last_place: read all targets at the place before the answer, behind the prompt (FT-L), and not each where it
            stands behind those before it. There an end-of-text token would compete with the answer, so it is left out.

    Raises:
        RequestError: a target has no token of its own.
    """
    pairs = [(request.text, request.target_new) for request in requests]
    answered = encode_all_answered(loaded.tokenizer, pairs, apart=loaded.encoder_decoder)
    found = []
    for each in answered:
        targets = _without_end(loaded, each.answer) if last_place else each.answer
        before = (decoder_start(loaded),) if loaded.encoder_decoder else each.prompt
        ids = before if last_place else (*before, *targets[:-1])
        places = [len(before) - 1 + (0 if last_place else index) for index in range(len(targets))]
        found.append(Example(ids, tuple(places), targets, each.prompt if loaded.encoder_decoder else ()))
    return tuple(found)


def batched(model: nn.Module, some: Sequence[Example]) -> Batch:
    """Examples as one batch.

    Raises:
        RequestError: one is longer than the model can read.
    """
    config: Any = model.config
    _refuse_long(config, some)
    device = next(model.parameters()).device
    # Padding stands behind every place that is read and a decoder never looks ahead, so any token will do.
    ids, mask = (torch.tensor(part, device=device) for part in pad_right([each.ids for each in some], 0))
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if config.is_encoder_decoder:
        prompts, seen = (torch.tensor(part, device=device) for part in pad_right([each.prompt for each in some], 0))
        inputs = {"input_ids": prompts, "attention_mask": seen, "decoder_input_ids": ids}
    width = ids.shape[1]
    flat = [row * width + place for row, each in enumerate(some) for place in each.places]
    places = list(dict.fromkeys(flat))
    index = {place: number for number, place in enumerate(places)}
    weights = [1 / (len(some) * len(each.targets)) for each in some for _ in each.targets]
    return Batch(
        inputs={**inputs, "use_cache": False},
        flat_places=torch.tensor(places, device=device),
        at=torch.tensor([index[place] for place in flat], device=device),
        targets=torch.tensor([token for each in some for token in each.targets], device=device),
        weights=torch.tensor(weights, device=device),
        n_examples=len(some),
    )


def decoder_start(loaded: LoadedModel) -> int:
    """The token that an encoder-decoder's answer begins behind; T5 takes that of padding."""
    model: Any = loaded.model
    for config in (model.generation_config, model.config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return int(loaded.tokenizer.pad_token_id)


def _without_end(loaded: LoadedModel, answer: tuple[int, ...]) -> tuple[int, ...]:
    ends = len(answer) > 1 and answer[-1] == loaded.tokenizer.eos_token_id
    return answer[:-1] if ends else answer


def _refuse_long(config: Any, some: Sequence[Example]) -> None:
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)  # T5 has none
    longest = max(len(row) for each in some for row in (each.ids, each.prompt))
    if limit is not None and longest > limit:
        raise RequestError(
            f"prompt and target take {longest} tokens, the model reads {limit}", hint="shorten the prompt"
        )
