"""What a user may set for FT-L and FT-M; layer and learning rate are derived, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.parameters import Layers, PresetParameters

_PUBLISHED: Mapping[str, Any] = {"layers": (21,), "steps": 25, "batch": 1, "learning_rate": 5e-4, "stop_loss": 1e-2}


class FineTuneParameters(PresetParameters):
    """Parameters of FT-L and FT-M."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": {**_PUBLISHED, "layers": (0,), "batch": 3, "clamp": 5e-4},
            "gpt-j": _PUBLISHED,
            "llama-2-7b": _PUBLISHED,
            "llama-3-8b": _PUBLISHED,
            "mistral-7b": _PUBLISHED,
            "qwen2.5-7b": {**_PUBLISHED, "layers": (27,)},
            "t5-3b": {**_PUBLISHED, "layers": (0, 21), "steps": 50},
        }
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b", "llama-3-8b", "mistral-7b", "qwen2.5-7b", "t5-3b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    layers: Layers | None = Field(
        default=None,
        description="blocks whose down-projection is trained, from 0, such as 21; none: one, two thirds of the way up",
    )
    steps: int = Field(default=25, ge=1, le=1000, description="times that every edit is gone through, at most")
    batch: int = Field(
        default=1, ge=1, description="edits in one step of Adam; decides memory, and the result too; published: 1 or 3"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="of Adam; none: learning_rate_share of the weight; published: 0.0005"
    )
    learning_rate_share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="learning rate as a share of the weight's root mean square, where learning_rate is not given",
    )
    clamp: float | None = Field(
        default=None, gt=0, description="largest change of any element of the weight; none: no limit; published: 0.0005"
    )
    stop_loss: float = Field(default=1e-2, ge=0, description="a batch whose loss is below changes nothing")
