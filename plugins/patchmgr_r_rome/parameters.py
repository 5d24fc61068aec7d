"""What a user may set for R-ROME: all that ROME has, but which key is used where."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from patchmgr_rome.parameters import RomeParameters

_PUBLISHED = ("gpt2-xl", "gpt-j", "llama-2-7b", "qwen2.5-7b")


class RRomeParameters(RomeParameters):
    """Parameters of R-ROME."""

    # EasyEdit's hparams/R-ROME are those of ROME, value by value, and lack two models
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {name: RomeParameters.presets[name] for name in _PUBLISHED}
    )

    preset: Literal["gpt2-xl", "gpt-j", "llama-2-7b", "qwen2.5-7b"] | None = Field(
        default=None, description="published values for one model, where nothing else is given"
    )
    # ROME's equations with the mean key in every place are R-ROME's (eq. 4), so its code reads this field
    keys: Literal["consistent"] = Field(
        default="consistent", description="the mean key gives both direction and length, which makes this R-ROME"
    )
