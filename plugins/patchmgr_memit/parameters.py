"""What a user may set for MEMIT; layers, step, decay and λ are derived from the model, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr_keyvalue.settings import SpreadParameters

_LLAMA: Mapping[str, Any] = MappingProxyType(
    {
        "layers": (4, 5, 6, 7, 8),
        "steps": 25,
        "learning_rate": 0.5,
        "weight_decay": 1e-3,
        "clamp": 4.0,
        "covariance_weight": 15_000.0,
    }
)


class MemitParameters(SpreadParameters):
    """Parameters of MEMIT."""

    # EasyEdit's hparams/MEMIT; Llama-3-8B, which is not among them: AlphaEdit's authors, who compare with it
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": {
                "layers": (13, 14, 15, 16, 17),
                "steps": 20,
                "learning_rate": 0.5,
                "weight_decay": 0.5,
                "clamp": 0.75,
                "covariance_weight": 20_000.0,
            },
            "gpt-j": {
                "layers": (3, 4, 5, 6, 7, 8),
                "steps": 25,
                "learning_rate": 0.5,
                "weight_decay": 0.5,
                "clamp": 0.75,
                "covariance_weight": 15_000.0,
            },
            "llama-2-7b": _LLAMA,
            "llama-3-8b": {**_LLAMA, "learning_rate": 0.1, "weight_decay": 0.5, "clamp": 0.75},
            "mistral-7b": _LLAMA,
            "qwen2.5-7b": _LLAMA,
        }
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b", "llama-3-8b", "mistral-7b", "qwen2.5-7b"] | None = Field(
        default=None,
        description="published values for one model, where nothing else is given; they want its Wikipedia C",
    )
    covariance_weight: float | None = Field(
        default=None, gt=0, description="lambda, the weight of C; none: by covariance_share; published: 15000 to 20000"
    )
    covariance_share: float = Field(
        default=0.03,
        gt=0,
        description="lambda as a share of the keys' mean k C^-1 k, where covariance_weight is not given",
    )
