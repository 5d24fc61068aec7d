"""What a user may set for UltraEdit; sites and rate are derived from the model, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.parameters import Layers, PresetParameters

PUBLISHED_RATE = 1e-6


class UltraEditParameters(PresetParameters):
    """Parameters of UltraEdit."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt-j": {"down_layers": tuple(range(18, 27)), "learning_rate": PUBLISHED_RATE},
            "llama-3-8b": {
                "gate_layers": tuple(range(11, 16)),
                "up_layers": tuple(range(18, 25)),
                "learning_rate": PUBLISHED_RATE,
            },
            "mistral-7b": {"down_layers": (29, 30), "learning_rate": PUBLISHED_RATE},
            "qwen2.5-7b": {
                "gate_layers": tuple(range(18, 27)),
                "up_layers": tuple(range(18, 27)),
                "learning_rate": PUBLISHED_RATE,
            },
        }
    )

    preset: Literal["gpt-j", "llama-3-8b", "mistral-7b", "qwen2.5-7b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    down_layers: Layers = Field(
        default=(), description="blocks whose MLP's last projection is edited, from 0; no list of layers: derived"
    )
    up_layers: Layers = Field(
        default=(), description="blocks whose MLP's first projection is edited (the one not gate)"
    )
    gate_layers: Layers = Field(default=(), description="blocks whose MLP's gate is edited, where there is one")
    learning_rate: float | None = Field(
        default=None, gt=0, description="eta; none: by step_share for each projection; published: 1e-6"
    )
    step_share: float = Field(
        default=0.3,
        gt=0,
        description="what the median token's output shall move by, as a share of it, where learning_rate is not given",
    )
    ridge: float = Field(default=1.0, gt=0, description="lambda of the ridge regression; published: 1")
    tokens: Literal["all", "answer"] = Field(
        default="all", description="all: every token of prompt and target; answer: those that predict the target"
    )
    batch: int = Field(
        default=16, ge=1, description="edits that are worked on side by side; decides memory, not the result"
    )
