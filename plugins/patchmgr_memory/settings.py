"""What a user may set for every memory whose entries are found by a sentence encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from patchmgr.methods.contract import MethodParameters


class TextMemoryParameters(MethodParameters):
    """Parameters of memories of texts."""

    encoder: str = Field(
        default="demo", description="what finds entries: demo (small, comes along), minilm (an extra), or a folder"
    )
    pooling: Literal["mean", "cls"] = Field(default="mean", description="how an encoder's tokens become one vector")
    threshold: float = Field(default=0.8, ge=-1, le=1, description="least cosine at which an entry is taken")
    ship_encoder: bool = Field(
        default=True, description="put the encoder into the package; otherwise its name and digest"
    )
