"""What a user may set for IKE."""

from __future__ import annotations

from pydantic import Field

from patchmgr_memory.settings import TextMemoryParameters


class IkeParameters(TextMemoryParameters):
    """Parameters of IKE."""

    threshold: float = Field(
        default=-1.0,
        ge=-1,
        le=1,
        description="least cosine at which an entry is taken; -1: every question gets the nearest, as published",
    )
    demonstrations: int = Field(
        default=32, ge=0, le=64, description="demonstrations in front, from the other entries; published: 32"
    )
