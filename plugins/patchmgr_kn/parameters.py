"""What a user may set for Knowledge Neurons; published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr.methods.parameters import PresetParameters

_ONE_STEP = MappingProxyType({"steps": 1, "threshold": 0.2, "share": 0.4})
"""What is published for the models of 7 and 8 billion parameters: one step, which is the gradient at nothing."""


class KnParameters(PresetParameters):
    """Parameters of Knowledge Neurons."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": {"steps": 20, "threshold": 0.2, "share": 0.4},
            "gpt-j": {"steps": 20, "threshold": 0.1, "share": 0.4},
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
    new_weight: float = Field(
        default=2.0, ge=0, description="of the new answer's embedding in what a neuron says; the paper's: 8"
    )
    old_weight: float = Field(
        default=2.0, ge=0, description="of the old answer's embedding, which is taken out; the paper's: 1"
    )
    batch: int = Field(
        default=8, ge=1, description="prompts that are worked on side by side; decides memory, not the result"
    )
