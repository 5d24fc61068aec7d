"""z: what a block shall give at each subject (MEMIT, arXiv:2210.07229, eq. 16), for many edits side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from patchmgr.methods.architecture import Architecture
from patchmgr.request import EditRequest
from patchmgr_keyvalue.scales import Scales, value_settings
from patchmgr_keyvalue.settings import KeyValueParameters
from patchmgr_keyvalue.target_value import ValueSettings, optimise_values, pose
from patchmgr_keyvalue.value_rows import edit_rows


@dataclass(frozen=True, eq=False)
class Aim:
    """Where δ is added, and whose output is wanted."""

    sites: Sequence[nn.Module]
    """A δ each; the last of them is what the layers below are to bring about."""
    layer: int
    """Blocks below need not run again: that of the sites, or the one above where the site is a whole block."""
    change: Callable[[ValueSettings], ValueSettings] = lambda settings: settings
    """What the method sets otherwise."""
    decay_factors: tuple[float, ...] = (1.0,)
    """Of the derived weight decay of each site."""

    @property
    def module(self) -> nn.Module:
        """The module whose output is aimed at."""
        return self.sites[-1]


def block_aim(architecture: Architecture, layer: int) -> Aim:
    """The output of the whole block ``layer``, as in MEMIT."""
    return Aim([architecture.blocks[layer]], layer + 1)


def aimed_values(
    architecture: Architecture,
    tokenizer: Any,
    aim: Aim,
    templates: Sequence[str],
    requests: Sequence[EditRequest],
    parameters: KeyValueParameters,
    progress: Callable[[int, int], None],
) -> tuple[Float[Tensor, "edits d_out"], tuple[Scales, ...]]:
    """For every edit z = v₀ + δ of the aimed module, float64, and the step and decay that each was looked for with.

    Edits whose rows cost alike are worked on together, so that little of a batch is padding.

    Args:
        architecture: the model.
        tokenizer: its tokenizer.
        aim: where δ is added.
        templates: contexts, the plain one first.
        requests: the edits; ``parameters.batch`` of them are worked on at a time.
        parameters: how to look.
        progress: called with (done, total) in steps over all edits.

    Raises:
        RequestError: a request has no subject, or is too long for the model.
        MethodError: the loss is not a number.
    """
    edits = edit_rows(tokenizer, templates, requests)
    order = sorted(range(len(edits)), key=lambda number: edits[number].n_tail)
    found: dict[int, tuple[Tensor, Scales]] = {}
    starts = range(0, len(order), parameters.batch)
    for index, start in enumerate(starts):
        some = order[start : start + parameters.batch]
        problem = pose(architecture, aim.sites, aim.layer, [edits[number] for number in some])
        settings, scales = value_settings(problem, parameters, aim.decay_factors)

        def steps_done(done: int, total: int, before: int = index) -> None:
            progress(before * total + done, len(starts) * total)

        values = optimise_values(problem, aim.change(settings), steps_done)
        wanted = (values.value0 + values.delta)[:, -1].double()
        found |= dict(zip(some, zip(wanted, scales, strict=True), strict=True))
    return torch.stack([found[number][0] for number in range(len(edits))]), tuple(
        found[number][1] for number in range(len(edits))
    )
