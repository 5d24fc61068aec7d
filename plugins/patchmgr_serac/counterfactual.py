"""The counterfactual model: it is asked "{edit input} {edit label} {question}" and says what follows from the edit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from patchmgr.errors import MethodError, NotFoundError
from patchmgr.live.load import load_model
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import AnsweredPrompt, encode_all_answered, pad_right
from patchmgr_serac.equations import label_nll

_IGNORED = -100
"""A label that is no target, as transformers has it."""


def start(name: str, base: LoadedModel) -> LoadedModel | None:
    """The model to train, float32; None: the base answers itself. Call it with torch's generator seeded.

    Args:
        name: ``copy``, ``fresh``, ``base``, or a folder.
        base: the model to copy, or whose tokenizer a fresh one takes.

    Raises:
        MethodError: the folder holds no language model.
    """
    device = next(base.model.parameters()).device
    if name == "base":
        return None
    if name == "copy":
        model: Any = copy.deepcopy(base.model).float()
        return LoadedModel(model.requires_grad_(True), base.tokenizer, "counterfactual")
    if name == "fresh":
        return LoadedModel(_fresh(base).to(device), base.tokenizer, "counterfactual")
    try:
        return load_model(Path(name).expanduser(), "counterfactual", device=str(device))
    except NotFoundError as error:
        raise MethodError(
            f"counterfactual={name}: {error.message}", hint="give copy, fresh, base, or the folder of a language model"
        ) from error


def _fresh(base: LoadedModel) -> Any:
    tokenizer = base.tokenizer
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=128,
            n_layer=4,
            n_head=4,
            n_positions=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
        )
    )


def loss(loaded: LoadedModel, asked: Sequence[tuple[str, str]]) -> Float[Tensor, ""]:
    """Mean −log P of the answers' tokens behind what is asked: (prompt, answer) each."""
    logits, targets, said = _read(loaded, _encoded(loaded, asked))
    return label_nll(logits, targets, said)


@torch.no_grad()
def answers_right(loaded: LoadedModel, asked: Sequence[tuple[str, str]], *, batch: int = 64) -> Bool[Tensor, " asked"]:
    """Whether each answer would be written whole: every token of it the likeliest behind those before it."""
    rows = _encoded(loaded, asked)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    right = torch.zeros(len(rows), dtype=torch.bool)
    for at in range(0, len(order), batch):
        some = order[at : at + batch]
        logits, targets, said = _read(loaded, [rows[index] for index in some])
        right[torch.tensor(some)] = ((logits.argmax(-1) == targets) | ~said).all(1).cpu()
    return right


def _encoded(loaded: LoadedModel, asked: Sequence[tuple[str, str]]) -> tuple[AnsweredPrompt, ...]:
    return encode_all_answered(loaded.tokenizer, asked, apart=loaded.encoder_decoder)


def _read(loaded: LoadedModel, rows: Sequence[AnsweredPrompt]) -> tuple[Tensor, Tensor, Tensor]:
    """(logits, targets, whether the target is an answer's) by place; padding stands behind all places that count."""
    model: Any = loaded.model
    device = next(model.parameters()).device
    if loaded.encoder_decoder:
        ids, mask = (torch.tensor(part, device=device) for part in pad_right([row.prompt for row in rows], 0))
        targets, said = (torch.tensor(part, device=device) for part in pad_right([row.answer for row in rows], 0))
        labels = targets.masked_fill(said == 0, _IGNORED)  # transformers shifts them to what the decoder reads
        return model(input_ids=ids, attention_mask=mask, labels=labels).logits, targets, said.bool()
    ids, mask = (torch.tensor(part, device=device) for part in pad_right([row.ids for row in rows], 0))
    first = torch.tensor([row.n_prompt for row in rows], device=device)
    places = torch.arange(1, ids.shape[1], device=device)
    said = mask[:, 1:].bool() & (places >= first[:, None])
    logits = model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=False).logits
    return logits, ids[:, 1:], said
