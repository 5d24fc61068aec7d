"""The answers of entries as training has them: rows of tokens, and how likely they are wherever the logits lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.contract import LoadedModel
from patchmgr.request import SUBJECT_MARK, EditRequest
from patchmgr_finetune.equations import answer_loss
from patchmgr_finetune.examples import Example, examples
from patchmgr_finetune.upper import Upper


def answered(loaded: LoadedModel, pairs: Sequence[tuple[str, str]]) -> tuple[Example, ...]:
    """Prompts, each with its answer; a prompt is all subject, so that braces in it mean nothing.

    Raises:
        RequestError: an answer has no token of its own.
    """
    asked = [EditRequest(prompt=SUBJECT_MARK, subject=prompt, target_new=answer) for prompt, answer in pairs]
    return examples(loaded, asked)


def mean_loss(upper: Upper) -> Float[Tensor, ""]:
    """−log P of the answers of a batch, see :func:`answer_loss`, on the device of the logits.

    A model may lie on several devices, so that what begins on the first of them is read on the last.
    """
    logits, batch = upper.logits(), upper.batch
    at, targets = batch.at.to(logits.device), batch.targets.to(logits.device)
    return answer_loss(logits, at, targets, batch.weights.to(logits))


def row_losses(upper: Upper, n_tokens: Sequence[int]) -> Float[Tensor, " rows"]:
    """−log P of each row's answer, a mean over its tokens, on the device of the logits.

    Args:
        upper: the batch.
        n_tokens: of each row's answer.
    """
    logits, batch = upper.logits(), upper.batch
    log_p = logits.log_softmax(-1)[batch.at.to(logits.device), batch.targets.to(logits.device)]
    return -torch.stack([row.mean() for row in log_p.split(list(n_tokens))])
