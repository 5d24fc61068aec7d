"""What a user may set for ROME; step and decay are derived from the model at hand, with the published values beside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from patchmgr_keyvalue.settings import ValueParameters


class RomeParameters(ValueParameters):
    """Parameters of ROME."""

    layer: int | None = Field(
        default=None, ge=0, description="block to edit, from 0; none: a sixth of the way up the model"
    )
    keys: Literal["paper", "consistent"] = Field(
        default="paper",
        description="paper: mean key for the direction, the plain prompt's key for the length, as published; "
        "consistent: the mean key for both (R-ROME), steadier under many edits",
    )
    context_lengths: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        default=(5, 10), description="tokens of the sampled texts before the prompt"
    )
    context_count: int = Field(default=10, ge=0, le=100, description="sampled texts of each length")
