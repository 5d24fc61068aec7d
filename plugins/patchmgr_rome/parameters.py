"""What a user may set for ROME; step and decay are derived from the model at hand, with the published values beside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from patchmgr.methods.contract import MethodParameters


class RomeParameters(MethodParameters):
    """Parameters of ROME."""

    layer: int | None = Field(
        default=None, ge=0, description="block to edit, from 0; none: a sixth of the way up the model"
    )
    keys: Literal["paper", "consistent"] = Field(
        default="paper",
        description="paper: mean key for the direction, the plain prompt's key for the length, as published; "
        "consistent: the mean key for both (R-ROME), steadier under many edits",
    )
    statistics: Literal["covariance", "identity"] = Field(
        default="covariance", description="covariance: the keys' second moment C; identity: C = I, nothing to compute"
    )
    statistics_tokens: int = Field(default=20_000, ge=1, description="tokens of text that C is taken from")
    statistics_seed: int = Field(default=0, ge=0, description="seed of the sampled text, when no corpus is given")
    statistics_damping: float = Field(
        default=1e-4, ge=0, le=1, description="added to the diagonal of C, as a share of its mean"
    )
    steps: int = Field(default=150, ge=1, le=1000, description="evaluations of the loss, at most; published: 20 to 25")
    learning_rate: float | None = Field(
        default=None, gt=0, le=10, description="of Adam; none: a share of the model's activations; published: 0.5"
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        description="weight of |delta| / |v0|^2 in the loss; none: by the model's activations; published: 0.5 or 0.001",
    )
    clamp: float = Field(default=4.0, gt=0, description="longest delta, in lengths of v0")
    kl_factor: float = Field(
        default=0.0625, ge=0, description="weight of the drift of the subject's essence in the loss"
    )
    stop_loss: float = Field(default=0.05, ge=0, description="stop below this loss")
    context_lengths: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        default=(5, 10), description="tokens of the sampled texts before the prompt"
    )
    context_count: int = Field(default=10, ge=0, le=100, description="sampled texts of each length")
