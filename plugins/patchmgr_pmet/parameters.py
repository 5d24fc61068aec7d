"""What a user may set for PMET; layers, step, decay and λ are derived from the model, published values are presets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr_keyvalue.settings import SpreadParameters


class PmetParameters(SpreadParameters):
    """Parameters of PMET."""

    # the authors' hparams for GPT-J (EasyEdit has lambda 15000 there), EasyEdit's for Llama-2-7B
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt-j": {
                "layers": (3, 4, 5, 6, 7, 8),
                "steps": 30,
                "learning_rate": 0.2,
                "weight_decay": 0.5,
                "clamp": 0.75,
                "kl_factor": 1.0,
                "sure_weight": 0.1,
                "sure_drift": 0.01,
                "covariance_weight": 6_000.0,
            },
            "llama-2-7b": {
                "layers": (4, 5, 6, 7, 8),
                "steps": 20,
                "learning_rate": 0.5,
                "weight_decay": 0.5,
                "clamp": 1.0,
                "kl_factor": 0.0625,
                "sure_weight": 0.1,
                "sure_drift": 0.01,
                "covariance_weight": 15_000.0,
            },
        }
    )

    preset: Literal["gpt-j", "llama-2-7b"] | None = Field(
        default=None,
        description="published values for one model, where nothing else is given; they want its Wikipedia C",
    )
    covariance_weight: float | None = Field(
        default=None, gt=0, description="lambda, the weight of C; none: by covariance_share; published: 6000 to 15000"
    )
    covariance_share: float = Field(
        default=0.01,
        gt=0,
        description="lambda as a share of the keys' mean k C^-1 k, where covariance_weight is not given",
    )
    attention_decay: float = Field(
        default=1000.0,
        gt=0,
        description="how much dearer a delta of attention, which no weight takes, is, where weight_decay is not given",
    )
    sure_weight: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="weight of the target's loss in a step after one that found all its tokens the likeliest; "
        "published: 0.1",
    )
    sure_drift: float = Field(
        default=0.0,
        ge=0,
        description="stop when they are and the drift, kl_factor included, costs at most this; published: 0.01",
    )
