"""What a user may set for every method that looks for values and solves with C; each method adds its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from patchmgr.methods.parameters import Layers, PresetParameters


class StatisticsParameters(PresetParameters):
    """What every method that reads the keys of a text has."""

    statistics: Literal["covariance", "identity"] = Field(
        default="covariance", description="covariance: the keys' second moment C; identity: C = I, nothing to compute"
    )
    statistics_tokens: int = Field(default=20_000, ge=1, description="tokens of text that C is taken from")
    statistics_seed: int = Field(default=0, ge=0, description="seed of the sampled text, when no corpus is given")
    statistics_damping: float = Field(
        default=1e-4, ge=0, le=1, description="added to the diagonal of C, as a share of its mean; published: 0"
    )


class ValueParameters(StatisticsParameters):
    """What every method that looks for values has; v0 is what the edited module gives before the edit."""

    steps: int = Field(default=150, ge=1, le=1000, description="evaluations of the loss, at most; published: 20 to 30")
    learning_rate: float | None = Field(
        default=None, gt=0, le=10, description="of Adam; none: a share of the model's activations; published: 0.5"
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        description="weight of |delta| / |v0|^2 in the loss; none: by the model's activations; published: 0.5 or 0.001",
    )
    clamp: float = Field(default=4.0, gt=0, description="longest delta, in lengths of v0; published: 0.75 or 4")
    kl_factor: float = Field(
        default=0.0625, ge=0, description="weight of the drift of the subject's essence in the loss"
    )
    stop_loss: float = Field(default=0.05, ge=0, description="stop below this loss")


class KeyValueParameters(ValueParameters):
    """What MEMIT and the methods after it share."""

    context_tokens: int = Field(default=10, ge=1, le=100, description="tokens of a sampled text before the prompt")
    context_count: int = Field(default=1, ge=0, le=100, description="sampled texts for each of five first words")
    batch: int = Field(
        default=16, ge=1, description="edits that are worked on side by side; decides memory, not the result"
    )


class SpreadParameters(KeyValueParameters):
    """What those of them have that spread a change over several layers."""

    layers: Layers | None = Field(
        default=None,
        description="blocks to edit, from 0, such as 4-8; none: up to five, ending below a third of the way",
    )
