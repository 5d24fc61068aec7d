"""What a user may set for MELO. Published radii and rates belong to other keys, so there are no presets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from patchmgr.methods.parameters import Layers
from patchmgr_grace.parameters import CodebookParameters


class MeloParameters(CodebookParameters):
    """Parameters of MELO."""

    layers: Annotated[Layers, Field(min_length=1)] | None = Field(
        default=None,
        description="blocks whose down-projections get LoRA blocks, such as 4-5; none: layer and the two above it",
    )
    rank: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="of a cluster's LoRA block on each projection; none: as in the version before, or 2",
    )
    scale: float | None = Field(
        default=None,
        gt=0,
        description="of what a block adds, published alpha / r = 1; none: as in the version before, or 1",
    )
    steps: int = Field(default=50, ge=1, le=10000, description="of Adam for a block, at most")
    learning_rate: float = Field(default=1e-2, gt=0, description="of Adam")
    stop_loss: float = Field(default=0.01, ge=0, description="a block whose loss is below is learned, in nats a token")
