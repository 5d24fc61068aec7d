"""What a user may set for EMMET; layer, step, decay and ε are derived from the model, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr_keyvalue.settings import KeyValueParameters


class EmmetParameters(KeyValueParameters):
    """Parameters of EMMET."""

    # of EasyEdit's hparams/EMMET, where the paper's authors put one layer; none is published for the other models
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": {
                "layer": 17,
                "steps": 20,
                "learning_rate": 0.5,
                "weight_decay": 0.5,
                "clamp": 0.75,
                "covariance_weight": 10_000.0,
                "slack": 0.1,
            },
            "gpt-j": {
                "layer": 5,
                "steps": 25,
                "learning_rate": 0.5,
                "weight_decay": 0.5,
                "clamp": 0.75,
                "covariance_weight": 100_000.0,
                "slack": 0.1,
            },
            "llama-2-7b": {
                "layer": 5,
                "steps": 25,
                "learning_rate": 0.5,
                "weight_decay": 1e-3,
                "clamp": 4.0,
                "covariance_weight": 100_000.0,
                "slack": 0.1,
            },
        }
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b"] | None = Field(
        default=None,
        description="published values for one model, where nothing else is given; they want its Wikipedia C",
    )
    layer: int | None = Field(
        default=None, ge=0, description="block to edit, from 0; none: a sixth of the way up the model"
    )
    covariance_weight: float = Field(
        default=1.0, gt=0, description="lambda, the weight of C; counts only times slack; published: 10000 or 100000"
    )
    slack: float | None = Field(
        default=None,
        ge=0,
        description="epsilon, how far the equality gives way; 0: not at all; none: by slack_share; published: 0.1",
    )
    slack_share: float = Field(
        default=0.01, ge=0, description="slack as a share of the keys' mean k C^-1 k, where slack is not given"
    )
