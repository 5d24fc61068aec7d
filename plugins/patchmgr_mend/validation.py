"""How an editor does on the validation data: every group of edits by itself, asked everything that is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from patchmgr_mend.asking import Asked, Base
from patchmgr_mend.drawing import Group
from patchmgr_mend.equations import divergences, means_of_groups
from patchmgr_mend.network import Factors, Networks
from patchmgr_mend.parameters import MendTraining

Figures = dict[str, float]


def validate(base: Base, networks: Networks, groups: Sequence[Group], parameters: MendTraining) -> Figures:
    """Means over groups of the means of each; one of which nothing unrelated is asked is left out of those of locality.

    ``reliability`` is the share of the target's tokens that are the argmax after the edits' own prompts,
    ``generalization`` after all prompts and rephrasings; ``locality`` is the share of tokens of unrelated answers in
    whose places the argmax stays; ``edit_loss``, ``locality_loss`` and ``loss`` are as in training.
    """
    chunks = [groups[start : start + parameters.batch] for start in range(0, len(groups), parameters.batch)]
    found = [_of_chunk(base, networks, chunk, parameters) for chunk in chunks]
    figures = {name: float(torch.cat([each[name] for each in found]).mean()) for name in found[0]}
    return {**figures, "loss": parameters.answer_weight * figures["edit_loss"] + figures["locality_loss"]}


@torch.no_grad()
def _of_chunk(
    base: Base, networks: Networks, groups: Sequence[Group], parameters: MendTraining
) -> dict[str, Float[Tensor, " groups"]]:
    """The figures of each group."""
    factors = networks.factors(base.traces(groups), parameters.aggregation)
    asked = base.answers(groups)
    logits, batch = base.logits(asked, factors), asked.batch
    right = logits.argmax(-1)[batch.at] == batch.targets
    surprise = -logits.log_softmax(-1)[batch.at, batch.targets]
    figures = {
        "reliability": means_of_groups(right, _own(base, groups, batch.targets.device), asked.groups),
        "generalization": means_of_groups(right, torch.ones_like(right), asked.groups),
        "edit_loss": means_of_groups(surprise, asked.weights, asked.groups),
    }
    if not any(group.unrelated for group in groups):
        return {**figures, "locality": torch.zeros(0), "locality_loss": torch.zeros(0)}
    return {**figures, **_locality(base, factors, base.unrelated(groups, whole=parameters.kept == "all"))}


def _locality(base: Base, factors: Sequence[Factors], unrelated: Asked) -> dict[str, Float[Tensor, " groups"]]:
    before, after = base.logits(unrelated, None), base.logits(unrelated, factors)
    same = before.argmax(-1) == after.argmax(-1)
    return {
        "locality": means_of_groups(same, unrelated.answer, unrelated.groups),
        "locality_loss": means_of_groups(divergences(before, after), unrelated.weights, unrelated.groups),
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
