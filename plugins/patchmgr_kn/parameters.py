"""What a user may set for Knowledge Neurons; published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.parameters import PresetParameters

_PUBLISHED = MappingProxyType({"steps": 20, "threshold": 0.2, "share": 0.4, "new_weight": 2.0, "old_weight": 2.0})
_ONE_STEP = MappingProxyType({**_PUBLISHED, "steps": 1})
"""What is published for the models of 7 and 8 billion parameters: one step, which is the gradient at nothing."""


class KnParameters(PresetParameters):
    """Parameters of Knowledge Neurons."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": _PUBLISHED,
            "gpt-j": {**_PUBLISHED, "threshold": 0.1},
            "llama-2-7b": _ONE_STEP,
            "llama-3-8b": _ONE_STEP,
            "mistral-7b": _ONE_STEP,
            "qwen2.5-7b": _ONE_STEP,
        }
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b", "llama-3-8b", "mistral-7b", "qwen2.5-7b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    steps: int = Field(
        default=20, ge=1, le=200, description="points between no activation and the whole, where gradients are taken"
    )
    threshold: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="a neuron counts above this share of the highest score; published: 0.1, 0.2",
    )
    refine: bool = Field(
        default=False,
        description="keep neurons that the rephrasings share; generalization is then measured on texts that were used",
    )
    share: float = Field(
        default=0.4, ge=0, lt=1, description="with refine: a neuron must count in more than this share of the prompts"
    )
    new_weight: float | None = Field(
        default=None,
        ge=0,
        description="of the new answer's embedding in what a neuron says; none: by weight_share; published: 2, or 8",
    )
    old_weight: float | None = Field(
        default=None,
        ge=0,
        description="of the old answer's embedding, which is taken out; none: by weight_share; published: 2, or 1",
    )
    weight_share: float = Field(
        default=0.75,
        gt=0,
        description="length of what is added or taken out, in lengths of what a neuron says, where no weight is given",
    )
    batch: int = Field(
        default=8, ge=1, description="prompts that are worked on side by side; decides memory, not the result"
    )
