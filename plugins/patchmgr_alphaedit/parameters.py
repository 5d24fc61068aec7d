"""What a user may set for AlphaEdit; layers, null space and λ₂ are derived from the model, or taken from a preset."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr_keyvalue.settings import SpreadParameters

_GPT: Mapping[str, Any] = MappingProxyType(
    {"learning_rate": 0.5, "weight_decay": 0.5, "clamp": 0.75, "threshold": 0.02, "ridge": 10.0}
)
_LAYERS = (4, 5, 6, 7, 8)


class AlphaEditParameters(SpreadParameters):
    """Parameters of AlphaEdit."""

    # the authors' hparams/AlphaEdit, which EasyEdit has too; Qwen2.5-7B: EasyEdit alone
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "gpt2-xl": {**_GPT, "layers": (13, 14, 15, 16, 17), "steps": 20},
            "gpt-j": {**_GPT, "layers": (3, 4, 5, 6, 7, 8), "steps": 25},
            "llama-3-8b": {**_GPT, "layers": _LAYERS, "steps": 25, "learning_rate": 0.1},
            "qwen2.5-7b": {
                "layers": _LAYERS,
                "steps": 25,
                "learning_rate": 0.5,
                "weight_decay": 1e-3,
                "clamp": 4.0,
                "threshold": 0.02,
                "ridge": 1.0,
            },
        }
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-3-8b", "qwen2.5-7b"] | None = Field(
        default=None,
        description="published values for one model, where nothing else is given; they want its Wikipedia C",
    )
    statistics: Literal["covariance"] = Field(
        default="covariance", description="the null space is that of the keys' second moment C"
    )
    statistics_damping: float = Field(
        default=0.0, ge=0, le=0, description="nothing is added to C, for it is not inverted"
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        description="eigenvalues of C below it are its null space; none: by null_share; published: 0.02",
    )
    null_share: float = Field(
        default=0.1, gt=0, le=1, description="share of tr C that the null space may hold, where threshold is not given"
    )
    ridge: float | None = Field(
        default=None, gt=0, description="lambda_2, keeps the change small; none: by ridge_share; published: 10 or 1"
    )
    ridge_share: float = Field(
        default=0.03, gt=0, description="ridge as a share of the keys' mean k P k, where ridge is not given"
    )
