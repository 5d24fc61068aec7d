"""Step and decay of the value optimisation in units of the model at hand, where the user gives none.

The published constants belong to the published models: a learning rate of 0.5 is small beside GPT2-XL's activations and
huge beside another model's. Measured instead is h, the residual stream above the edited block at the subject's last
token: a step moves each coordinate by a fixed share of h's root mean square, and a δ as long as h costs a fixed loss.
The two shares were chosen on the demo base; on other models they are untried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr_keyvalue.settings import ValueParameters
from patchmgr_keyvalue.target_value import ValueProblem, ValueSettings

STEP_SHARE = 0.025
"""Learning rate, as a share of the root mean square of h."""
DECAY_LOSS = 1.1
"""Loss, in nats, of a δ that is as long as h."""


@dataclass(frozen=True)
class Scales:
    """What was given or derived for one request."""

    learning_rate: float
    weight_decay: float | list[float]
    """A list, one for each place, where δ is added in several."""


def derived_scales(
    value0: Float[Tensor, "edits sites d_out"], hidden0: Float[Tensor, "edits d_out"]
) -> tuple[Float[Tensor, " edits"], Float[Tensor, "edits sites"]]:
    """Learning rate of each edit, and weight decay of each of its sites, by whose ‖v₀‖² the decay is divided.

    Args:
        value0: v₀.
        hidden0: h, what the block of the sites gives at the subject.
    """
    norm0 = torch.linalg.vector_norm(value0.float(), dim=-1)
    norm = torch.linalg.vector_norm(hidden0.float(), dim=1)
    return STEP_SHARE * norm / hidden0.shape[1] ** 0.5, DECAY_LOSS * norm0.square() / norm.unsqueeze(1)


def value_settings(
    problem: ValueProblem, given: ValueParameters, decay_factors: Sequence[float] = (1.0,)
) -> tuple[ValueSettings, list[Scales]]:
    """Step and decay as given, else derived, for every edit of the problem; the latter times a factor for each site."""
    rates, decays = derived_scales(problem.value0, problem.hidden0)
    decays = decays * torch.tensor(decay_factors).to(decays)
    if given.learning_rate is not None:
        rates = torch.full_like(rates, given.learning_rate)
    if given.weight_decay is not None:
        decays = torch.full_like(decays, given.weight_decay)
    settings = ValueSettings(
        steps=given.steps,
        learning_rate=rates,
        weight_decay=decays,
        clamp=given.clamp,
        kl_factor=given.kl_factor,
        stop_loss=given.stop_loss,
    )
    used = [
        Scales(rate, decay[0] if len(decay) == 1 else decay)
        for rate, decay in zip(rates.tolist(), decays.tolist(), strict=True)
    ]
    return settings, used
