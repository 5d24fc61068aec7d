"""How an editor does on the validation data: every group of edits by itself, asked everything that is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from patchmgr_finetune.equations import answer_loss
from patchmgr_mend.asking import Base
from patchmgr_mend.drawing import Group
from patchmgr_mend.equations import divergence
from patchmgr_mend.network import Networks
from patchmgr_mend.parameters import MendTraining

Figures = dict[str, float]


def validate(base: Base, networks: Networks, groups: Sequence[Group], parameters: MendTraining) -> Figures:
    """Means over groups.

    ``reliability`` is the share of the target's tokens that are the argmax after the edits' own prompts,
    ``generalization`` after all prompts and rephrasings; ``locality`` is the share of tokens of unrelated answers in
    whose places the argmax stays; ``edit_loss``, ``locality_loss`` and ``loss`` are as in training.
    """
    chunks = [groups[start : start + parameters.batch] for start in range(0, len(groups), parameters.batch)]
    totals: Figures = {}
    for chunk in chunks:
        for name, value in _of_chunk(base, networks, chunk, parameters).items():
            totals[name] = totals.get(name, 0.0) + value * len(chunk) / len(groups)
    totals["loss"] = parameters.answer_weight * totals["edit_loss"] + totals["locality_loss"]
    return totals


@torch.no_grad()
def _of_chunk(base: Base, networks: Networks, groups: Sequence[Group], parameters: MendTraining) -> Figures:
    factors = networks.factors(base.traces(groups), parameters.aggregation)
    asked, unrelated = base.answers(groups), base.unrelated(groups, whole=parameters.kept == "all")
    logits, batch = base.logits(asked, factors), asked.batch
    right = (logits.argmax(-1)[batch.at] == batch.targets).double()
    own = _own(base, groups, batch.targets.device)
    before, after = base.logits(unrelated, None), base.logits(unrelated, factors)
    return {
        "reliability": float(right[own].mean()),
        "generalization": float(right.mean()),
        "locality": float((before.argmax(-1) == after.argmax(-1))[unrelated.answer].double().mean()),
        "edit_loss": float(answer_loss(logits, batch.at, batch.targets, batch.weights)),
        "locality_loss": float(divergence(before, after, unrelated.batch.weights)),
    }


def _own(base: Base, groups: Sequence[Group], device: torch.device) -> Bool[Tensor, " tokens"]:
    """Of every target token, whether it stands behind an edit's own prompt."""
    own = [
        answered in group.edits
        for group in groups
        for answered, row in zip(group.asked, base.rows(group.asked), strict=True)
        for _ in row.targets
    ]
    return torch.tensor(own, device=device)
